"""A person's connection: who is it, and what may they ask (the outer and the inner one alike).

The identity is that of the certificate whose key has signed *this* connection, and is taken only
after the signature was verified (threat 6). Every way in goes through `_signed`, whatever the
method, and asks auth through the door the person stands at. What the certificate forbids stays
forbidden whatever factors follow (threat 7).
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import asyncssh

from appliance.domain.operations.ssh import SshEvidence
from appliance.proxy import certificate
from appliance.proxy.algorithms import KNOWS_GCM
from appliance.proxy.certificate import Certificate
from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.fast.channel import BridgeChannel
from appliance.proxy.fast.server import ServerConnection
from appliance.proxy.limits import Turned

if TYPE_CHECKING:
    import re
    from collections.abc import Coroutine, Sequence

    from appliance.proxy.certificate import Touch
    from appliance.proxy.edge import Edge
    from appliance.proxy.fast.channel import Answer, Far
    from appliance.proxy.fast.opening import GlobalAnswer

log = logging.getLogger(__name__)
LAST_WORDS = 5.0
"""Seconds beyond a check's own time, so that it can say that it was not met."""
REQUESTS_PER_KEY = 2
"""A client asks about a key, then signs with it."""


class Rights(Protocol):
    """What a person who is in may open."""

    async def open(self, kind: bytes, payload: bytes) -> Far:
        """Return what stands behind a channel; raises asyncssh's `ChannelOpenError`."""

    def ask(self, name: str, payload: bytes) -> GlobalAnswer:
        """A global request."""

    def lost(self) -> None:
        """The person is gone."""


@dataclass(frozen=True, slots=True)
class Admitted:
    """Come in."""

    rights: Rights


@dataclass(frozen=True, slots=True)
class Refused:
    """No; `final` where another key would not help. `message` is for the person."""

    message: str
    final: bool = False


class Check(Protocol):
    """A second factor that is still missing, asked for by keyboard-interactive (RFC 4256)."""

    @property
    def seconds(self) -> float:
        """How long the person has."""

    def question(self) -> Question:
        """Return what is asked first."""

    async def answered(self, person: PersonConnection, responses: tuple[str, ...]) -> Question | Admission:
        """Take the answers to the last question; ask again, or decide."""


@dataclass(frozen=True, slots=True)
class Further:
    """The certificate is good; this is missing."""

    check: Check


Admission = Admitted | Refused | Further


@dataclass(frozen=True, slots=True)
class Question:
    """One request of keyboard-interactive: ASCII, since OpenSSH shows the rest in octal."""

    name: str
    instruction: str
    prompts: tuple[tuple[str, bool], ...] = ()
    """Text, and whether what is typed is shown."""

    def wire(self) -> tuple[str, str, str, tuple[tuple[str, bool], ...]]:
        """Return it as asyncssh wants it."""
        return self.name, self.instruction, "", self.prompts


@dataclass(frozen=True, slots=True)
class _Missing:
    signed: Signed
    check: Check


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """What one verified signature proved."""

    certificate: Certificate
    evidence: SshEvidence
    user: str


class Doorway(Protocol):
    """Where a person stands: at the bastion, or at a node."""

    @property
    def user_names(self) -> re.Pattern[bytes]:
        """Which SSH user names may be asked for here."""

    async def admit(self, person: PersonConnection, signed: Signed) -> Admission:
        """Ask auth."""


class PersonConnection(ServerConnection):
    """See the module."""

    offer_aead_to = (KNOWS_GCM,)

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        options: asyncssh.SSHServerConnectionOptions,
        *,
        edge: Edge,
        doorway: Doorway,
        peer: tuple[str, int] | None = None,
        on_authenticated: Any = None,
        on_lost: Any = None,
    ) -> None:
        """`peer` is the address and port of the TCP connection that a channel came through."""
        super().__init__(loop, options)
        self.edge = edge
        self._doorway = doorway
        self._peer = peer
        self._on_authenticated, self._on_lost = on_authenticated, on_lost
        self._asked = 0
        self._failures = 0
        self._rights: Rights | None = None
        self._missing: _Missing | None = None
        self.was_refused = False
        self.user = ""
        """The person's own name, once they are in."""

    def connection_made(self, transport: Any) -> None:
        """Begin; on a channel, the peer is whom the kernel named, never the originator a client gave."""
        if isinstance(transport, BridgeChannel):
            transport.set_extra_info(peername=self._peer, sockname=None, socket=None)
            super().connection_made(transport)
            transport.resume_reading()
        else:
            super().connection_made(transport)

    def closed(self, exc: Exception | None) -> None:
        """See `Mended.closed`."""
        rights, self._rights = self._rights, None
        if rights is not None:
            rights.lost()
        if self.user:
            self._go_out()
        if self._on_lost is not None:
            self._on_lost(exc)

    def request_received(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """Nothing can be asked of the channel that carries a connection."""
        del name, payload, want_reply
        return False

    # Who is it

    def user_name_allowed(self, raw: bytes) -> bool:
        """See `ServerConnection.user_name_allowed`: canonical, ASCII, never empty (threat C24)."""
        return self._doorway.user_names.fullmatch(raw) is not None

    def send_userauth_failure(self, partial_success: bool) -> None:  # noqa: FBT001 - asyncssh's signature
        """Count what failed; too much of it ends the connection (OpenSSH's MaxAuthTries)."""
        self._failures += not partial_success
        super().send_userauth_failure(partial_success)
        if self._failures > self.edge.limits.keys_per_connection:
            self.was_refused = True
            self.part("too many authentication failures")

    async def validate_signature(
        self, user: str, key_data: bytes, message: bytes, signature: bytes, *, host_bound: bool
    ) -> bool:
        """See `ServerConnection.validate_signature`. A question is answered without asking auth."""
        self._asked += 1
        if self._asked > REQUESTS_PER_KEY * self.edge.limits.keys_per_connection:
            self.was_refused = True
            raise asyncssh.DisconnectError(asyncssh.DISC_BY_APPLICATION, "too many keys were offered")
        paper = self._known(key_data)
        if paper is None:
            return False
        if not message:
            return True
        signed = self._verify(paper, user, message, signature, host_bound=host_bound)
        return signed is not None and await self._signed_in(signed)

    def _known(self, key_data: bytes) -> Certificate | None:
        try:
            paper = certificate.parse(key_data)
        except CertificateInvalid as error:
            log.debug("%s offers a key that is no certificate: %s", self.source, error)
            return None
        return paper if paper.authority in self.edge.trust.user_authorities else None

    def _verify(
        self, paper: Certificate, user: str, message: bytes, signature: bytes, *, host_bound: bool
    ) -> Signed | None:
        key = paper.key
        key.set_touch_required(certificate.NO_TOUCH not in paper.extensions)
        if not certificate.verify(key, message, signature):
            return None
        touch = certificate.read_touch(signature) if paper.is_security_key else None
        if certificate.VERIFY_REQUIRED in paper.critical and not (touch and touch.verified):
            return None
        return Signed(
            certificate=paper, evidence=self._evidence(paper, touch, host_bound=host_bound), user=user
        )

    def _evidence(self, paper: Certificate, touch: Touch | None, *, host_bound: bool) -> SshEvidence:
        return SshEvidence(
            certificate=paper.blob,
            source=self.source,
            session_hash=self.session_hash,
            host_bound=host_bound,
            security_key_flags=touch.flags if touch else None,
            security_key_counter=touch.counter if touch else None,
        )

    async def _signed_in(self, signed: Signed) -> bool:
        doubt = certificate.judge_person(
            signed.certificate,
            authorities=self.edge.trust.user_authorities,
            now=self.edge.timestamp(),
            source=self.source,
        )
        # auth is asked even where we have a doubt of our own: its log has the whole story, and its
        # words are for the person. But it can't overrule us.
        return self._take(signed, await self._admitted(signed, doubt))

    def _take(self, signed: Signed, admission: Admission) -> bool:
        match admission:
            case Admitted(rights):
                self._missing = None
                self._rights = rights
                self._come_in(signed.certificate.key_id)
                if self._on_authenticated is not None:
                    self._on_authenticated(signed)
            case Further(check):
                self._missing = _Missing(signed, check)
            case Refused(message, final):
                self.was_refused = True
                self.say(f"sallyport: {message}")
                if final:
                    raise asyncssh.DisconnectError(asyncssh.DISC_BY_APPLICATION, message)
                return False
        return True

    # A second factor. What the first has proved, and what its certificate forbids, stays as it was

    async def send_userauth_success(self) -> None:
        """Say yes, or "go on" while a factor is missing (RFC 4252 section 5.1, partial success)."""
        if self._missing is None:
            await super().send_userauth_success()
            return
        self.more_time(self._missing.check.seconds + LAST_WORDS)
        self.send_userauth_failure(partial_success=True)

    def public_key_auth_supported(self) -> bool:
        """Until a certificate was accepted."""
        return self._missing is None

    def kbdint_auth_supported(self) -> bool:
        """From then on, where a factor is missing."""
        return self._missing is not None

    async def get_kbdint_challenge(self, username: str, lang: str, submethods: str) -> Any:
        """Ask; only who has signed can be asked."""
        del lang, submethods
        if self._missing is None or username != self._missing.signed.user:
            return False
        return self._missing.check.question().wire()

    async def validate_kbdint_response(self, username: str, responses: Sequence[str]) -> Any:
        """Take an answer: ask again, let in, or refuse."""
        missing = self._missing
        if missing is None or username != missing.signed.user:
            return False
        outcome = await self._shielded(missing.check.answered(self, tuple(responses)))
        if isinstance(outcome, Question):
            return outcome.wire()
        self._missing = None
        return self._take(missing.signed, outcome)

    def _come_in(self, user: str) -> None:
        self.user = user
        self.edge.people[user] += 1

    def _go_out(self) -> None:
        user, self.user = self.user, ""
        self.edge.people[user] -= 1
        if self.edge.people[user] <= 0:
            del self.edge.people[user]

    async def _admitted(self, signed: Signed, doubt: str | None) -> Admission:
        admission: Admission = await self._shielded(self._admit(signed, doubt))
        return admission

    async def _shielded(self, work: Coroutine[Any, Any, Question | Admission]) -> Any:
        # A client that sends its next request meanwhile cancels this one; auth's answer must not be lost
        task = self.edge.tasks.start(work)
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            task.add_done_callback(_abandon)
            raise

    async def _admit(self, signed: Signed, doubt: str | None) -> Admission:
        if not self.edge.room_for(signed.certificate.key_id):
            return Refused(Turned.USERS.value)
        admission = await self._doorway.admit(self, signed)
        if doubt is None and not self.is_closed():
            return admission
        if isinstance(admission, Admitted):
            admission.rights.lost()
        return admission if isinstance(admission, Refused) else Refused(doubt or "the connection is closed")

    # What may they open

    async def open_requested(self, kind: bytes, payload: bytes) -> Far:
        """See `Opening.open_requested`."""
        if self._rights is None:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "not logged in")
        return await self._rights.open(kind, payload)

    def global_request_received(self, name: str, payload: bytes) -> GlobalAnswer:
        """See `Opening.global_request_received`."""
        return self._rights is not None and self._rights.ask(name, payload)


def _abandon(task: asyncio.Task[Question | Admission]) -> None:
    admission = None if task.cancelled() or task.exception() else task.result()
    if isinstance(admission, Admitted):
        admission.rights.lost()
