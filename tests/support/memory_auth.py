"""An auth service in memory for tests of the web edge alone: real messages, real codes, real WebAuthn.

It answers on the level of bytes, as the transport of a real `Api`, so that every message passes the codec
both ways. It judges only what the web edge's behaviour depends on; the real service has tests of its own,
and the functional tests drive the web edge against it.
"""

import hashlib
import json
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pyotp
from fido2.server import Fido2Server
from fido2.webauthn import PublicKeyCredentialRpEntity, PublicKeyCredentialUserEntity

from appliance.client import Api
from appliance.client.transport import Transport
from appliance.domain import codec
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, Exists, Invalid, NotFound, SallyportError, Throttled
from appliance.domain.operations import OPERATIONS, Caller, journal, nodes, people
from appliance.domain.operations.operation import Nothing

ADMIN_ROLE = "editor"
WRONG = "the name, password or code is wrong"


@dataclass
class Account:
    view: people.UserView
    password: str = ""
    totp: str = ""
    credentials: list = field(default_factory=list)
    handle: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    recovery: set = field(default_factory=set)


@dataclass
class Link:
    user: str
    kind: str
    expires_at: datetime
    used: bool = False
    secret: str = ""
    state: object = None


@dataclass
class Attempt:
    user: str
    source: str
    state: object = None
    proved: set = field(default_factory=set)
    spent: bool = False


class MemoryAuth(Transport):
    """Everything in dictionaries; `fail` maps an operation to an error it shall answer with."""

    def __init__(self, *, address="localhost:3080", factors=("otp", "webauthn"), authority=b"") -> None:
        self.address, self.factors, self.authority = address, factors, authority
        self.now = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the browser's codes need true time
        self.accounts, self.links, self.attempts, self.web_sessions = {}, {}, {}, {}
        self.browser_logins, self.nodes, self.sessions, self.casts, self.events = {}, {}, [], {}, []
        self.fail, self.calls = {}, []
        rp = PublicKeyCredentialRpEntity(name="Sallyport", id=address.partition(":")[0])
        self.rp = Fido2Server(rp, attestation="none")

    def api(self) -> Api:
        return Api(self)

    def close(self) -> None:
        pass

    def post(self, path, body, headers):
        name = path.removeprefix("/v1/")
        operation = OPERATIONS[name]
        try:
            request = codec.loads(operation.request, body)
            self.calls.append((name, request))
            if name in self.fail:
                raise self.fail[name]
            who = self._who(operation, headers.get("Sallyport-Session"))
            handler = getattr(self, name.replace(".", "_"))
            return 200, codec.dumps(handler(who, request))
        except Throttled as error:
            answer = {"error": error.code, "message": str(error), "retry_after": error.retry_after}
            return error.status, codec.dumps(answer)
        except SallyportError as error:
            return error.status, codec.dumps({"error": error.code, "message": str(error)})

    def _who(self, operation, token):
        if Caller.WEB in operation.callers:
            return ""
        user = self.web_sessions.get(hashlib.sha256((token or "").encode()).hexdigest())
        if user is None or user not in self.accounts:
            raise Denied("no session", message="signed out: sign in again")
        if operation.rule and not self._is_admin(user):
            raise Denied("rule", message="access denied")
        return user

    def _is_admin(self, user):
        return ADMIN_ROLE in self.accounts[user].view.roles

    # what tests arrange

    def add(self, name, *, password="", totp="", roles=("access",), logins=None, active=True):
        factors = tuple(kind for kind, there in (("totp", totp),) if there)
        self.accounts[name] = Account(
            view=people.UserView(
                name=name,
                logins=logins or (name,),
                roles=roles,
                active=active,
                factors=factors,
                created_at=self.now,
                created_by="console:0",
            ),
            password=password,
            totp=totp,
        )

    def link(self, user, *, kind="sign_up", ttl=3600):
        token = secrets.token_urlsafe(33)
        self.links[token] = Link(user=user, kind=kind, expires_at=self.now + timedelta(seconds=ttl))
        return people.InviteLink(
            user=user,
            url=f"https://{self.address}/web/invite/{token}",
            expires_at=self.links[token].expires_at,
        )

    def session(self, user):
        token = secrets.token_urlsafe(32)
        self.web_sessions[hashlib.sha256(token.encode()).hexdigest()] = user
        return token

    # the operations

    def cluster_ping(self, _who, _request):
        return people.ClusterInfo(
            server_version="0.1.0",
            cluster="main",
            second_factors=self.factors,
            rp_id=self.address.partition(":")[0],
            web_address=self.address,
            ssh_address="localhost:3023",
            api_address="localhost:3025",
            tls_authority=self.authority,
            host_authority="@cert-authority *.main ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA\n",
        )

    def invites_show(self, _who, request):
        link = self._open(request.token)
        return people.InviteView(
            user=link.user, kind=link.kind, expires_at=link.expires_at, factors=self.factors
        )

    def _open(self, token):
        link = self.links.get(token)
        if link is None:
            raise NotFound("this link is not one of ours, or was altered: copy it whole")
        if link.used:
            raise NotFound("this link was used already: each works once")
        if link.expires_at <= self.now:
            raise NotFound("this link has expired: ask for a new one")
        return link

    def invites_begin(self, _who, request):
        link, account = self._open(request.token), self.accounts[self._open(request.token).user]
        if request.factor is Factor.TOTP:
            link.secret = pyotp.random_base32()
            uri = pyotp.TOTP(link.secret).provisioning_uri(name=link.user, issuer_name="Sallyport main")
            return people.TotpOffer(secret=link.secret, uri=uri)
        user = PublicKeyCredentialUserEntity(name=link.user, id=account.handle, display_name=link.user)
        options, link.state = self.rp.register_begin(
            user, account.credentials, resident_key_requirement="preferred", user_verification="preferred"
        )
        return people.WebauthnOffer(options=_json(options))

    def invites_finish(self, _who, request):
        link = self._open(request.token)
        account, factors = self.accounts[link.user], ()
        if not 12 <= len(request.password) <= 128:
            raise Invalid(f"a password has 12 to 128 characters, this one has {len(request.password)}")
        match request.proof:
            case people.CodeProof(code=code):
                if not link.secret or not pyotp.TOTP(link.secret).verify(code, valid_window=1):
                    raise Denied("code", message="that code is not right: check the device's clock")
                account.totp, factors = link.secret, ("totp",)
            case people.WebauthnProof(response=response):
                try:
                    done = self.rp.register_complete(link.state, response)
                except (ValueError, TypeError) as error:
                    raise Denied("key", message="the security key was not accepted") from error
                account.credentials, factors = [done.credential_data], ("webauthn",)
        link.used, account.password = True, request.password
        account.view = replace(account.view, active=True, factors=factors)
        codes = tuple("-".join(secrets.token_hex(2) for _ in range(3)) for _ in range(10))
        account.recovery = set(codes)
        return people.Enrolled(user=link.user, recovery_codes=codes)

    def login_begin(self, _who, request):
        attempt, options = secrets.token_hex(24), None
        self.attempts[attempt] = Attempt(user=request.user, source=request.source)
        if not request.user:
            options, self.attempts[attempt].state = self.rp.authenticate_begin(user_verification="required")
        return people.AttemptPending(
            attempt=attempt, factors=(Factor.PASSWORD,), webauthn=_json(options) if options else None
        )

    def login_prove(self, _who, request):
        attempt = self.attempts.get(request.attempt)
        if attempt is None or attempt.spent:
            raise NotFound("this sign-in has expired: begin again")
        for proof in request.proofs:
            attempt.proved.add(self._judge(attempt, proof))
        account = self.accounts[attempt.user]
        second = attempt.proved - {Factor.PASSWORD}
        if second and (Factor.PASSWORD in attempt.proved or attempt.state == "passkey"):
            return people.AttemptAccepted(attempt=request.attempt, user=attempt.user)
        options = None
        if account.credentials:
            options, attempt.state = self.rp.authenticate_begin(account.credentials)
        return people.AttemptPending(
            attempt=request.attempt, factors=(Factor.TOTP,), webauthn=_json(options) if options else None
        )

    def _judge(self, attempt, proof):
        account = self.accounts.get(attempt.user)
        match proof:
            case people.PasswordProof(password=password):
                if account is None or not account.password or account.password != password:
                    raise Denied("password", message=WRONG)
                return Factor.PASSWORD
            case people.CodeProof(code=code):
                if account and code in account.recovery:
                    account.recovery.discard(code)
                    return Factor.RECOVERY_CODE
                if (
                    not account
                    or not account.totp
                    or not pyotp.TOTP(account.totp).verify(code, valid_window=1)
                ):
                    raise Denied("code", message=WRONG)
                return Factor.TOTP
            case people.WebauthnProof(response=response):
                return self._judge_key(attempt, response)

    def _judge_key(self, attempt, response):
        everyone = {
            cred.credential_id: (user, cred)
            for user, one in self.accounts.items()
            for cred in one.credentials
        }
        mine = [cred for user, cred in everyone.values() if user == (attempt.user or user)]
        try:
            done = self.rp.authenticate_complete(attempt.state, mine, response)
        except (ValueError, TypeError, KeyError) as error:
            raise Denied("key", message=WRONG) from error
        if not attempt.user:
            attempt.user, attempt.state = everyone[done.credential_id][0], "passkey"
        return Factor.WEBAUTHN

    def login_issue(self, _who, _request):
        raise Denied("not in memory", message="sign in first")

    def web_sessions_create(self, _who, request):
        attempt = self.attempts[request.attempt]
        if attempt.spent or attempt.source != request.source:
            raise Denied("spent", message="sign in first")
        attempt.spent = True
        token = self.session(attempt.user)
        return people.WebSessionCreated(
            token=token, user=attempt.user, expires_at=self.now + timedelta(hours=12)
        )

    def web_sessions_end(self, who, request):
        # the token is the caller's own: find it by its owner, one browser a person is enough here
        for key, user in list(self.web_sessions.items()):
            if user == who:
                del self.web_sessions[key]
        return request

    def me_show(self, who, _request):
        view = self.accounts[who].view
        may = tuple(
            name
            for name, one in OPERATIONS.items()
            if Caller.PERSON in one.callers and (not one.rule or self._is_admin(who))
        )
        return people.Whoami(
            user=who, logins=view.logins, roles=view.roles, factors=view.factors, cluster="main", may=may
        )

    def browser_logins_create(self, _who, request):
        id_, secret = secrets.token_hex(16), secrets.token_hex(24)
        view = people.BrowserLoginView(
            id=id_,
            code="KX7QP2",
            source=request.source,
            ttl_seconds=request.ttl_seconds or 82800,
            expires_at=self.now + timedelta(minutes=3),
        )
        self.browser_logins[id_] = [view, None]
        return people.BrowserLoginCreated(
            id=id_,
            url=f"https://{self.address}/web/cli/{id_}",
            code=view.code,
            secret=secret,
            expires_at=view.expires_at,
        )

    def browser_logins_show(self, _who, request):
        return self._waiting(request.id)[0]

    def _waiting(self, id_):
        found = self.browser_logins.get(id_)
        if found is None or found[1] is not None:
            raise NotFound("no command line waits for this: it was answered, or has expired")
        return found

    def browser_logins_answer(self, _who, request):
        self._waiting(request.id)[1] = request.approve
        return Nothing()

    def browser_logins_collect(self, _who, _request):
        return people.BrowserLoginWaiting()

    def users_list(self, _who, _request):
        return people.UserList(users=tuple(one.view for one in self.accounts.values()))

    def users_create(self, _who, request):
        if request.name in self.accounts:
            raise Exists(f"there is a user {request.name} already")
        self.add(request.name, roles=request.roles, logins=request.logins, active=False)
        return self.link(request.name, ttl=request.ttl_seconds)

    def users_update(self, _who, request):
        account = self._account(request.name)
        account.view = replace(account.view, logins=request.logins or (), roles=request.roles or ())
        return account.view

    def _account(self, name):
        if name not in self.accounts:
            raise NotFound(f"there is no user {name}")
        return self.accounts[name]

    def users_reset(self, _who, request):
        account = self._account(request.name)
        account.view = replace(account.view, active=False, factors=())
        return self.link(request.name, kind="reset")

    def users_delete(self, _who, request):
        del self.accounts[self._account(request.name).view.name]
        return Nothing()

    def nodes_list(self, who, _request):
        logins = self.accounts[who].view.logins
        return nodes.NodeList(nodes=tuple(replace(node, logins=logins) for node in self.nodes.values()))

    def nodes_add_openssh(self, _who, request):
        if not request.host_key.startswith("ssh-"):
            raise Invalid("host key: expected one line as in ssh_host_ed25519_key.pub")
        self.nodes[request.name] = nodes.NodeView(
            id=secrets.token_hex(8),
            name=request.name,
            address=request.address,
            kind="openssh",
            labels=request.labels,
        )
        return nodes.NodeAdded(
            name=request.name,
            trusted_user_ca_keys="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA openssh\n",
            host_certificate="ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1lZDI1NTE5 web1\n",
            expires_at=self.now + timedelta(days=365),
        )

    def nodes_delete(self, _who, request):
        if self.nodes.pop(request.name, None) is None:
            raise NotFound(f"there is no node {request.name}")
        return Nothing()

    def sessions_list(self, who, request):
        mine = [one for one in self.sessions if self._is_admin(who) or one.user == who]
        mine = [one for one in mine if not (request.live_only and one.ended_at)]
        return journal.SessionList(sessions=tuple(mine[: request.limit]))

    def recordings_export(self, _who, request):
        parts = self.casts.get(request.session)
        if parts is None:
            raise NotFound("there is no recording of this session")
        following = request.cursor + 1
        return journal.CastPiece(
            text=parts[request.cursor], next=following if following < len(parts) else None
        )

    def events_list(self, _who, request):
        found = [one for one in self.events if not request.event or one["event"] == request.event]
        return journal.EventList(events=tuple(found[: request.limit]))


def _json(options):
    return json.loads(json.dumps(dict(options)))
