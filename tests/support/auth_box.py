"""The whole auth service in the test process, on throw-away state: real trail, signer, codes and keys.

Only time, randomness and the cost of slow hashes are the test's. `AuthBox.call` goes through the gate and
the table, as the API does; `console`, `web`, `proxy` and `person` are shorthands for who calls.
"""

from __future__ import annotations

import base64
import json
import random
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyotp
import pytest
from argon2 import PasswordHasher, Type

from appliance.audit.log import AuditLog
from appliance.audit.reader import AuditReader
from appliance.authn import password as password_module
from appliance.broker import state as repositories
from appliance.broker.callers import Console, Person, Service
from appliance.broker.trail import LogTrail
from appliance.certificates.custody import SignerCustody
from appliance.client.person.home import FreshKeys, fresh_keys
from appliance.config import parse
from appliance.config.addresses import Addresses
from appliance.domain.decision import Factor
from appliance.domain.errors import Unavailable
from appliance.domain.operations import Caller, nodes, people, ssh
from appliance.domain.operations.operation import Nothing
from appliance.roles import auth
from appliance.roles.layout import Layout, closed
from appliance.store.memory import MemoryBackend
from authenticators import recovery_codes
from hsm.signer.limits import DEFAULT_LIMITS, LimitTable, Rate
from tests.support.hand_clock import HandClock
from tests.support.signer import make_config, running_signer
from tests.support.virtual_keys import Person as Toucher
from tests.support.virtual_keys import client_for, make_key

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "https://localhost:3080"
PASSWORD = "correct horse battery"
CONFIG = """\
sallyport:
  nodename: box
auth_service:
  cluster_name: main
  public_addr: localhost:3025
proxy_service:
  public_addr: localhost:3080
"""
CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1, type=Type.ID)
HERE = "192.0.2.7"
"""Where people are, unless a test says otherwise."""


class Seeded:
    """Randomness that repeats itself."""

    def __init__(self, seed: int = 0) -> None:
        self._random = random.Random(seed)

    def bytes(self, count: int) -> bytes:
        return self._random.randbytes(count)

    def uuid(self) -> str:
        return str(uuid.UUID(bytes=self._random.randbytes(16), version=4))


@dataclass
class FragileTrail:
    """The real trail; raises instead of recording while `broken`."""

    inner: LogTrail
    broken: bool = False

    def record(self, event: Any) -> None:
        if self.broken:
            raise Unavailable("the disk of the audit log is full")
        self.inner.record(event)

    def query(self, query: Any) -> Any:
        return self.inner.query(query)


@dataclass(kw_only=True)
class Resident:
    """A person who has signed up, with what they prove themselves by."""

    name: str
    password: str
    secret: str = ""
    key: Any = None
    recovery_codes: tuple[str, ...] = ()
    keys: FreshKeys = field(default_factory=fresh_keys)
    issued: people.IssuedCredentials | None = None

    @property
    def certificate(self) -> bytes:
        """The SSH certificate, wire form."""
        assert self.issued is not None
        return base64.b64decode(self.issued.ssh_certificate.split()[1])


@dataclass(kw_only=True)
class AuthBox:
    """The service and everything it stands on."""

    ground: auth.Ground
    clock: HandClock
    log: AuditLog
    trail: FragileTrail
    rooms: Any = None
    broker: Any = None

    @property
    def state(self) -> repositories.State:
        return self.ground.state

    @property
    def backend(self) -> MemoryBackend:
        return self.ground.state.backend

    def recompose(self) -> None:
        """Make the use cases anew over the same state, as a restart does."""
        self.rooms = auth.compose(self.ground)
        self.broker = auth.answering(self.ground, self.rooms)

    # who calls

    def call(self, identity: Any, name: str, request: Any = None) -> Any:
        return self.broker(name, identity, Nothing() if request is None else request)

    def console(self, name: str, request: Any = None) -> Any:
        return self.call(Console(uid=0), name, request)

    def web(self, name: str, request: Any = None) -> Any:
        return self.call(Service(kind=Caller.WEB), name, request)

    def proxy(self, name: str, request: Any = None) -> Any:
        return self.call(Service(kind=Caller.PROXY), name, request)

    def person(self, user: str, name: str, request: Any = None, **more: Any) -> Any:
        return self.call(Person(user=user, source=HERE, **more), name, request)

    # what is in the log and in the store

    def events(self, name: str | None = None) -> list[dict[str, Any]]:
        lines = [
            line
            for path in sorted(self.ground.layout.log.glob("*.log"))
            for line in path.read_text().splitlines()
        ]
        found = [json.loads(line) for line in lines]
        return [one for one in found if name in (None, one["event"])]

    def snapshot(self) -> dict[str, bytes]:
        """Return everything the store holds."""
        return {item.key: item.value for item in self.backend.items("")}

    # people

    def invite(self, name: str = "joe", *, logins=("root",), roles=("access",), ttl=3600) -> str:
        """Make an account; return the link's token."""
        request = people.UserCreate(name=name, logins=logins, roles=roles, ttl_seconds=ttl)
        return token_of(self.console("users.create", request))

    def begin_totp(self, token: str) -> str:
        """Begin to enrol; return the secret in base32."""
        offer = self.web("invites.begin", people.EnrolBegin(token=token, factor=Factor.TOTP))
        return offer.secret

    def finish_totp(self, token: str, secret: str, *, password: str = PASSWORD, code: str | None = None):
        proof = people.CodeProof(code=code or self.code(secret))
        request = people.EnrolFinish(token=token, password=password, device_name="phone", proof=proof)
        return self.web("invites.finish", request)

    def code(self, secret: str, *, ahead: int = 0) -> str:
        """Return the code of now, or of `ahead` steps later."""
        return pyotp.TOTP(secret).at(int(self.clock.now().timestamp()), counter_offset=ahead)

    def sign_up(self, name: str = "joe", *, token: str | None = None, **account: Any) -> Resident:
        """Sign a person up with a password and TOTP; the enrolment's time step is over then."""
        token = token or self.invite(name, **account)
        secret = self.begin_totp(token)
        done = self.finish_totp(token, secret)
        self.clock.forward(seconds=30)
        return Resident(name=name, password=PASSWORD, secret=secret, recovery_codes=done.recovery_codes)

    def sign_up_with_key(self, name: str = "joe", *, model: str = "fingerprint", **account: Any) -> Resident:
        """Sign a person up with a password and a virtual security key."""
        token = self.invite(name, **account)
        person = Resident(name=name, password=PASSWORD, key=make_key(model))
        offer = self.web("invites.begin", people.EnrolBegin(token=token, factor=Factor.WEBAUTHN))
        answer = self.registration(person, offer.options)
        proof = people.WebauthnProof(response=answer)
        request = people.EnrolFinish(token=token, password=PASSWORD, device_name="key", proof=proof)
        person.recovery_codes = self.web("invites.finish", request).recovery_codes
        return person

    def registration(self, person: Resident, options: dict[str, Any], *, origin: str = ORIGIN):
        response = _fido(person, origin).make_credential(_inner(options))
        return json.loads(json.dumps(dict(response)))

    def assertion(self, person: Resident, options: dict[str, Any], *, origin: str = ORIGIN, pin=None):
        selection = _fido(person, origin, pin).get_assertion(_inner(options))
        return json.loads(json.dumps(dict(selection.get_response(0))))

    # signing in

    def begin(self, user: str, *, source: str = HERE) -> people.AttemptPending:
        return self.web("login.begin", people.LoginBegin(user=user, source=source))

    def prove(self, attempt: str, *proofs: Any, source: str = HERE) -> Any:
        return self.web("login.prove", people.LoginProve(attempt=attempt, source=source, proofs=proofs))

    def guess(self, user: str, password: str = "wrong password", *, source: str = HERE) -> Any:
        """One guess at a password, in an attempt of its own."""
        begun = self.begin(user, source=source)
        return self.prove(begun.attempt, people.PasswordProof(password=password), source=source)

    def accepted(self, person: Resident, *, source: str = HERE) -> str:
        """Prove everything; return the accepted attempt. Takes a fresh time step for a code."""
        begun = self.begin(person.name, source=source)
        password = people.PasswordProof(password=person.password)
        if person.secret:
            self.clock.forward(seconds=30)
            proof = people.CodeProof(code=self.code(person.secret))
            done = self.prove(begun.attempt, password, proof, source=source)
        else:
            pending = self.prove(begun.attempt, password, source=source)
            answer = self.assertion(person, pending.webauthn)
            done = self.prove(begun.attempt, people.WebauthnProof(response=answer), source=source)
        assert isinstance(done, people.AttemptAccepted)
        return done.attempt

    def certified(self, person: Resident, *, ttl: int | None = None, source: str = HERE) -> Resident:
        """Sign in and get certificates, kept in `person.issued`."""
        request = people.CredentialsRequest(
            attempt=self.accepted(person, source=source),
            source=source,
            ssh_public_key=person.keys.ssh_blob,
            tls_public_key=person.keys.tls_public,
            ttl_seconds=ttl,
        )
        person.issued = self.web("login.issue", request)
        return person

    def browser(self, person: Resident, *, source: str = HERE) -> str:
        """Sign in with a browser; return the cookie's value."""
        request = people.WebSessionCreate(attempt=self.accepted(person, source=source), source=source)
        return self.web("web_sessions.create", request).token

    # machines and sessions

    def add_node(self, name: str = "web1", *, address: str = "127.0.0.1:2222", labels=None) -> Any:
        request = nodes.NodeAddOpenssh(
            name=name, address=address, host_key=fresh_keys().ssh_public, labels=labels or {"env": "dev"}
        )
        return self.console("nodes.add_openssh", request)

    def evidence(self, person: Resident, **changes: Any) -> ssh.SshEvidence:
        plain = ssh.SshEvidence(certificate=person.certificate, source=HERE, session_hash=bytes(32))
        return replace(plain, **changes)

    def connect(self, person: Resident, node: str = "web1", login: str = "root", **changes: Any) -> Any:
        request = ssh.ConnectRequest(
            evidence=self.evidence(person, **changes),
            node=node,
            login=login,
            session_key=fresh_keys().ssh_blob,
        )
        return self.proxy("ssh.connect", request)


def token_of(link: people.InviteLink) -> str:
    return link.url.rpartition("/")[2]


def _inner(options: dict[str, Any]) -> dict[str, Any]:
    return options.get("publicKey", options)


def _fido(person: Resident, origin: str, pin: str | None = None):
    from authenticators.virtual.transports.in_process import InProcessDevice  # noqa: PLC0415

    return client_for(InProcessDevice(person.key), Toucher(pin), origin)


@contextmanager
def cheap_hashes():
    """Passwords and recovery codes cost next to nothing, by the same algorithms."""
    patch = pytest.MonkeyPatch()
    patch.setattr(password_module, "_HASHER", CHEAP_HASHER)
    real = recovery_codes.hashlib.scrypt

    def scrypt(code, *, salt, n, r, p, dklen):
        del n
        return real(code, salt=salt, n=2, r=r, p=p, dklen=dklen)

    patch.setattr(recovery_codes, "hashlib", SimpleNamespace(scrypt=scrypt))
    try:
        yield
    finally:
        patch.undo()


@dataclass
class SharedSigner:
    """One signer for many boxes; it tells the time by the clock of the box in use."""

    client: Any = None
    clock: Any = field(default_factory=HandClock)

    def seconds(self) -> float:
        return self.clock.now().timestamp()


def generous_limits() -> LimitTable:
    """The real limits but for their rate: one signer serves the tests of a whole run at a standing clock."""
    callers = dict(DEFAULT_LIMITS.callers)
    rate = Rate(per_second=1000, burst=1_000_000)
    certificates = {ca: replace(one, rate=rate) for ca, one in callers["auth"].certificates.items()}
    callers["auth"] = replace(callers["auth"], certificates=certificates)
    return LimitTable(callers)


@contextmanager
def shared_signer_in(folder: Path):
    shared = SharedSigner()
    config = make_config(folder, generous_limits())
    with running_signer(folder, clock=shared.seconds, config=config) as running:
        shared.client = running.auth
        yield shared


@contextmanager
def auth_box(folder: Path, signer: SharedSigner, *, config: str = CONFIG, clock: HandClock | None = None):
    """Compose a fresh service in `folder`, its keys established."""
    folder.chmod(0o700)
    parsed, clock = parse(config.encode()), clock or HandClock()
    signer.clock = clock
    layout = Layout(closed(folder / "data"))
    for part in (layout.run, layout.auth, layout.log, layout.log / "sessions"):
        closed(part)
    backend = MemoryBackend(clock=clock)
    log = AuditLog.open(layout.log, clock=clock)
    reader = AuditReader(layout.log, index=layout.auth / "index.sqlite", durable=lambda: log.head().seq)
    trail = FragileTrail(LogTrail(log=log, reader=reader, clock=clock))
    ground = auth.Ground(
        config=parsed,
        layout=layout,
        addresses=Addresses.of(parsed),
        clock=clock,
        random=Seeded(),
        state=repositories.over(backend),
        trail=trail,
        custody=SignerCustody(client=signer.client, clock=clock),
    )
    box = AuthBox(ground=ground, clock=clock, log=log, trail=trail)
    box.recompose()
    box.rooms.authorities.establish()
    try:
        yield box
    finally:
        reader.close()
        log.close()
        backend.close()
