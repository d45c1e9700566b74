"""A command line that is signed in by its person's browser: both show the same short code."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.broker.credentials import Credentials, PersonKeys
from appliance.broker.ports import Clock, Randomness, Trail
from appliance.broker.state import State
from appliance.domain.errors import Conflict, Denied, NotFound
from appliance.domain.events import Event, EventName
from appliance.domain.operations import people
from appliance.domain.operations.operation import Nothing
from appliance.domain.records import BrowserLogin

if TYPE_CHECKING:
    from appliance.broker.callers import Person
    from appliance.store.repository import Stored

LIFE = timedelta(minutes=3)
ID_BYTES = 16
SECRET_BYTES = 24
CODE_ALPHABET = "ABCDEFGHJKLMNPQRSTVWXYZ23456789"
CODE_LENGTH = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class BrowserLogins:
    """Create, show, answer, collect."""

    state: State
    credentials: Credentials
    random: Randomness
    trail: Trail
    clock: Clock
    web_address: str

    def create(self, identity: object, request: people.BrowserLoginCreate) -> people.BrowserLoginCreated:
        """Begin one; its secret goes to the command line only, its URL to the person."""
        del identity
        now, secret = self.clock.now(), self.random.bytes(SECRET_BYTES)
        login = BrowserLogin(
            id=self.random.bytes(ID_BYTES).hex(),
            secret_hash=hashlib.sha256(secret).digest(),
            code=self._code(),
            source=request.source,
            ssh_public_key=request.ssh_public_key,
            tls_public_key=request.tls_public_key,
            ttl_seconds=request.ttl_seconds or 0,
            created_at=now,
            expires_at=now + LIFE,
        )
        self.state.browser_logins.create(login)
        url = f"https://{self.web_address}/web/cli/{login.id}"
        return people.BrowserLoginCreated(
            id=login.id, url=url, code=login.code, secret=secret.hex(), expires_at=login.expires_at
        )

    def show(self, identity: Person, request: people.BrowserLoginNamed) -> people.BrowserLoginView:
        """Return what the person should see before they agree."""
        del identity
        login = self._waiting(request.id).value
        return people.BrowserLoginView(
            id=login.id,
            code=login.code,
            source=login.source,
            ttl_seconds=login.ttl_seconds,
            expires_at=login.expires_at,
        )

    def answer(self, identity: Person, request: people.BrowserLoginAnswer) -> Nothing:
        """Agree or refuse, once. Only a browser session can: a certificate must not breed certificates."""
        if not identity.web_session:
            raise Denied("browser login answered without a browser session")
        login = self._waiting(request.id)
        changed = replace(
            login.value,
            approved_by=identity.user if request.approve else None,
            refused=not request.approve,
        )
        self.trail.record(
            Event(
                name=EventName.USER_LOGIN,
                user=identity.user,
                source=login.value.source,
                error="" if request.approve else "refused by the person",
                detail={"method": "browser", "approved_from": identity.source},
            )
        )
        self.state.browser_logins.update(changed, login.revision)
        return Nothing()

    def collect(
        self, identity: object, request: people.BrowserLoginCollect
    ) -> people.BrowserLoginWaiting | people.IssuedCredentials:
        """Return the certificates once, if the person has agreed."""
        del identity
        login = self.state.browser_logins.find(request.id)
        if login is None or not _is_secret(login.value, request.secret):
            raise NotFound("this browser sign-in has expired: begin again")
        if login.value.refused:
            raise Denied("refused by the person", message="the sign-in was refused in the browser")
        if login.value.approved_by is None:
            return people.BrowserLoginWaiting()
        return self._issue(login, login.value.approved_by)

    def _issue(self, login: Stored[BrowserLogin], user: str) -> people.IssuedCredentials:
        try:
            self.state.browser_logins.delete(login.value.id, login.revision)
        except Conflict as error:
            raise NotFound("this browser sign-in was collected already") from error
        account = self.state.users.find(user)
        if account is None or not account.value.covers(login.value.created_at):
            raise Denied("browser login answered before the account was made or reset")
        keys = PersonKeys(ssh=login.value.ssh_public_key, tls=login.value.tls_public_key)
        return self.credentials.certify(user, keys, login.value.ttl_seconds or None)

    def _waiting(self, login_id: str) -> Stored[BrowserLogin]:
        login = self.state.browser_logins.find(login_id)
        if login is None or login.value.refused or login.value.approved_by is not None:
            raise NotFound("no command line waits for this: it was answered, or has expired")
        return login

    def _code(self) -> str:
        # 256 is no multiple of 31: the bias of a few in a thousand is nothing for a code compared by eye.
        return "".join(CODE_ALPHABET[byte % len(CODE_ALPHABET)] for byte in self.random.bytes(CODE_LENGTH))


def _is_secret(login: BrowserLogin, secret: str) -> bool:
    try:
        given = hashlib.sha256(bytes.fromhex(secret)).digest()
    except ValueError:
        return False
    return hmac.compare_digest(given, login.secret_hash)
