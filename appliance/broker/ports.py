"""What the use cases need from outside, as protocols the adapters happen to satisfy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from appliance.certificates.custody import Signed
    from appliance.certificates.templates import SshSpec, TlsSpec
    from appliance.domain.events import Event
    from appliance.domain.operations.custody import TokenStatus
    from appliance.domain.operations.journal import EventsQuery
    from appliance.domain.records import AuthorityKey, AuthorityKind


class Clock(Protocol):
    """The only source of time."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""


class Randomness(Protocol):
    """The only source of secrets and ids."""

    def bytes(self, count: int) -> bytes:
        """Return `count` bytes from the operating system's generator."""

    def uuid(self) -> str:
        """Return a random UUID in lower case."""


class Trail(Protocol):
    """The audit log; raises `Unavailable` when the record can't be kept."""

    def record(self, event: Event) -> None:
        """Return once the event is durable."""

    def query(self, query: EventsQuery) -> tuple[dict[str, Any], ...]:
        """Return the records that match, newest first."""


class Custody(Protocol):
    """The signer, as a verb or two.

    Raises `Sealed`, `Unavailable`, or `Denied` for what its limits refuse.
    """

    def first_key(self, kind: AuthorityKind) -> AuthorityKey:
        """Return the first key of an authority; makes it in the token if it is not there."""

    def fresh_key(self, kind: AuthorityKind) -> AuthorityKey:
        """Make a new key of an authority, of a generation that never was."""

    def check_new_keys(self, kinds: tuple[AuthorityKind, ...]) -> None:
        """Raise unless the token takes a new key of each kind; changes nothing."""

    def check_keys_in_use(self, keys: Iterable[tuple[AuthorityKind, int]]) -> None:
        """Raise unless the token has the keys of those generations; changes nothing."""

    def sign_ssh(self, spec: SshSpec, generation: int) -> Signed:
        """Make and sign an SSH certificate."""

    def sign_tls(self, spec: TlsSpec, generation: int) -> Signed:
        """Make and sign an X.509 certificate."""

    def status(self) -> TokenStatus:
        """Describe the token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of a recording. `head` is the digest (SHA-256, hex) that stands for every byte of it."""

    size: int
    lost: bool
    head: str


class Recordings(Protocol):
    """The recordings of this box."""

    def append(self, session: str, offset: int, data: bytes) -> None:
        """Add a block; the same block again is fine, a gap is refused."""

    def finish(self, session: str) -> Finished:
        """Close the recording; of one whose sender is gone, what is whole is kept and ended as lost."""

    def read(self, session: str, offset: int, length: int) -> bytes:
        """Return a piece; raises `NotFound`."""

    def size(self, session: str) -> int:
        """Return the size so far; 0 when there is none."""

    def cast(self, session: str, cursor: int) -> tuple[str, int | None]:
        """Return a part of the asciicast, and the cursor of the next; raises `NotFound`."""


class Egress(Protocol):
    """Which address of the bastion a node will see."""

    def __call__(self, address: str) -> str:
        """Return the local IP address that connections to `host:port` come from."""
