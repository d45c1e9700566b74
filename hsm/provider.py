"""Where private keys live. A key is named by its label, used, and never seen.

`KeyProvider` is what every backend can do. What only some can do are protocols of their own, which
a caller asks for with `isinstance`: `Attester`, `Deleter`, `Wrapper`, `Prober`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, Self, runtime_checkable

from hsm.algorithm import PREFERENCE, Algorithm

if TYPE_CHECKING:
    from types import TracebackType

    from hsm.encoding.signature import Signature

__all__ = [
    "PREFERENCE",
    "Algorithm",
    "Attestation",
    "AttestationKind",
    "Attester",
    "Deleter",
    "KeyInfo",
    "KeyProvider",
    "Probe",
    "Prober",
    "Wrapper",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A key of ours: its label, its algorithm, its public half as an SSH blob."""

    label: str
    algorithm: Algorithm
    public_key: bytes


class KeyProvider(ABC):
    """A store of private keys: a file, a PKCS#11 token, a PIV card.

    All methods may be called from any thread; they take turns. Labels outside of the provider's
    `Namespace` raise `NotOurs`. A token that is away raises `TokenGone`; the same provider works
    again once it is back.
    """

    @abstractmethod
    def create(self, label: str, algorithm: Algorithm) -> KeyInfo:
        """Make a key that cannot leave; raises `KeyExists` rather than overwrite, `Unsupported`."""

    @abstractmethod
    def public_key(self, label: str) -> bytes:
        """Return the public key as an SSH blob; raises `NoSuchKey`."""

    @abstractmethod
    def sign(self, label: str, message: bytes) -> Signature:
        """Sign the message (any length) with the key's algorithm; raises `NoSuchKey`."""

    @abstractmethod
    def list(self) -> tuple[KeyInfo, ...]:
        """Return the keys of our range, sorted by label; foreign objects are not looked into."""

    @abstractmethod
    def close(self) -> None:
        """Release the session and forget the PIN, if there is one."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AttestationKind(StrEnum):
    """Who says so: nobody, the token's own attributes, or a certificate of its maker."""

    SOFTWARE = "software"
    ATTRIBUTES = "attributes"
    CERTIFICATE = "certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What is known about where a key was made.

    `certificates` (DER, the key's own first) is empty unless `kind` is CERTIFICATE; `statement` is
    one or more sentences for a person.
    """

    label: str
    kind: AttestationKind
    statement: str
    certificates: tuple[bytes, ...] = ()


@runtime_checkable
class Attester(Protocol):
    """The optional ability to say where a key was made."""

    def attest(self, label: str) -> Attestation:
        """Return what can be proved; software says that it is software."""


@runtime_checkable
class Deleter(Protocol):
    """The optional ability to destroy a key. Whoever calls it has two people's consent."""

    def delete(self, label: str) -> None:
        """Destroy the key of that label for good; raises `NoSuchKey`."""


@runtime_checkable
class Wrapper(Protocol):
    """The optional ability to move a key to another token of the same kind, encrypted."""

    def wrap(self, label: str) -> bytes:
        """Return the key, encrypted so that only a token holding the same wrapping key reads it."""

    def unwrap(self, label: str, wrapped: bytes) -> KeyInfo:
        """Take in a wrapped key under that label; raises `KeyExists`, `Malformed`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What a token can do and how it is; None where it does not tell."""

    model: str
    serial: str
    firmware: str
    hardware: bool
    mechanisms: tuple[str, ...]
    algorithms: tuple[Algorithm, ...]
    free_slots: int | None
    pin_tries_left: int | None
    notes: tuple[str, ...] = ()

    @property
    def preferred(self) -> Algorithm | None:
        """The algorithm to take where nobody asked for one."""
        return next((choice for choice in PREFERENCE if choice in self.algorithms), None)


@runtime_checkable
class Prober(Protocol):
    """The ability to look before a start, an upgrade or a rotation."""

    def probe(self) -> Probe:
        """Look at the token; changes nothing and tries no PIN."""
