"""The conversation that turns proofs into certificates: at the prompt, or in the browser."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from appliance.client.person.home import FreshKeys, Profile, fresh_keys
from appliance.domain import names
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, Invalid, Unavailable
from appliance.domain.operations import people
from appliance.domain.operations.people import AttemptAccepted, AttemptPending, IssuedCredentials

if TYPE_CHECKING:
    from appliance.client.person.trust import Contact

POLL_SECONDS = 1.0
FILLED_BY_SERVICE = ""
"""Sources are filled in by the web service from the connection.

What a client says of itself counts for nothing.
"""


class MfaMode(StrEnum):
    """Which second factor to use."""

    AUTO = "auto"
    OTP = "otp"
    WEBAUTHN = "webauthn"


class Dialogue(Protocol):
    """What the conversation asks of the person and their machine."""

    def password(self, user: str) -> str:
        """Ask for the password."""

    def code(self, *, or_key: bool) -> str:
        """Ask for a code; empty means that a security key shall be used, where that is offered."""

    def security_key(self, options: dict[str, Any], origin: str) -> dict[str, Any]:
        """Have a key on this machine answer; raises `Unavailable` when there is none."""

    def browser(self, url: str, code: str) -> None:
        """Show where to go and what code to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """Fresh keys and the certificates over them."""

    keys: FreshKeys
    issued: IssuedCredentials


def at_the_prompt(contact: Contact, user: str, *, ttl: int | None, mode: MfaMode, ask: Dialogue) -> SignedIn:
    """Sign in with password and second factor."""
    begun: AttemptPending = contact.api.call(
        "login.begin", people.LoginBegin(user=user, source=FILLED_BY_SERVICE)
    )
    password = people.PasswordProof(password=ask.password(user))
    code = _code(begun, mode, ask)
    first = (password, people.CodeProof(code=code)) if code else (password,)
    attempt = _prove(contact, begun.attempt, first)
    if isinstance(attempt, AttemptPending):
        attempt = _with_key(contact, attempt, ask)
    return _issue(contact, attempt, ttl)


def in_the_browser(contact: Contact, *, ttl: int | None, ask: Dialogue) -> SignedIn:
    """Sign in with a browser that may be on another machine; both show the same code."""
    keys = fresh_keys()
    waiting: people.BrowserLoginCreated = contact.api.call(
        "browser_logins.create",
        people.BrowserLoginCreate(
            source=FILLED_BY_SERVICE,
            ssh_public_key=keys.ssh_blob,
            tls_public_key=keys.tls_public,
            ttl_seconds=ttl,
        ),
    )
    ask.browser(waiting.url, waiting.code)
    collect = people.BrowserLoginCollect(id=waiting.id, secret=waiting.secret)
    while True:
        answer = contact.api.call("browser_logins.collect", collect)
        if isinstance(answer, IssuedCredentials):
            return SignedIn(keys=keys, issued=answer)
        time.sleep(POLL_SECONDS)


def _code(begun: AttemptPending, mode: MfaMode, ask: Dialogue) -> str:
    has_key = Factor.WEBAUTHN in begun.factors
    if mode is MfaMode.WEBAUTHN or not begun.factors[1:]:
        return ""
    return ask.code(or_key=has_key and mode is MfaMode.AUTO)


def _prove(
    contact: Contact, attempt: str, proofs: tuple[people.Proof, ...]
) -> AttemptPending | AttemptAccepted:
    answer: AttemptPending | AttemptAccepted = contact.api.call(
        "login.prove", people.LoginProve(attempt=attempt, source=FILLED_BY_SERVICE, proofs=proofs)
    )
    return answer


def _with_key(contact: Contact, pending: AttemptPending, ask: Dialogue) -> AttemptAccepted:
    if pending.webauthn is None:
        wanted = ", ".join(pending.factors)
        raise Denied("second factor missing", message=f"a second factor is needed: {wanted}")
    origin = f"https://{contact.info.web_address.removesuffix(':443')}"
    response = ask.security_key(pending.webauthn, origin)
    answer = _prove(contact, pending.attempt, (people.WebauthnProof(response=response),))
    if isinstance(answer, AttemptPending):
        raise Denied("still pending", message="this sign-in needs a further factor: use --browser")
    return answer


def _issue(contact: Contact, attempt: AttemptPending | AttemptAccepted, ttl: int | None) -> SignedIn:
    keys = fresh_keys()
    issued: IssuedCredentials = contact.api.call(
        "login.issue",
        people.CredentialsRequest(
            attempt=attempt.attempt,
            source=FILLED_BY_SERVICE,
            ssh_public_key=keys.ssh_blob,
            tls_public_key=keys.tls_public,
            ttl_seconds=ttl,
        ),
    )
    return SignedIn(keys=keys, issued=issued)


def profile_of(contact: Contact, proxy: str, issued: IssuedCredentials) -> Profile:
    """Return what to remember of a sign-in.

    Names from the other side become file names and lines of an ssh configuration here, so each is parsed as
    what it should be; raises `Unavailable`.
    """
    if issued.cluster != contact.info.cluster:
        raise Unavailable("the cluster changed its name during the sign-in")
    try:
        return _parsed(contact, proxy, issued)
    except Invalid as error:
        raise Unavailable(f"the cluster gave a name that can't be one: {error}") from error


def _parsed(contact: Contact, proxy: str, issued: IssuedCredentials) -> Profile:
    for address in (contact.info.ssh_address, contact.info.api_address):
        names.host_port(address)
    return Profile(
        proxy=proxy,
        user=names.user_name(issued.user),
        cluster=names.cluster_name(issued.cluster),
        ssh_address=contact.info.ssh_address,
        api_address=contact.info.api_address,
        logins=tuple(names.login(login) for login in issued.logins),
        roles=issued.roles,
        expires_at=issued.expires_at,
        system_trust=contact.system_trust,
    )
