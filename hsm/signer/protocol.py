"""What may be asked of the signer, what it answers, and how a "no" looks.

There is no request that takes bytes and signs them. A request says what a certificate shall say; the
signer builds it, and it alone chooses the serial number and the nonce. Every value is parsed into
one of the frozen classes below or refused (`hsm.signer.codec`); unknown fields are refused.

Times are whole seconds since 1970 (UTC). `lane` is any short word that tells the people or jobs behind
one caller apart, so that one of them cannot keep the others waiting; it is used for nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hsm.algorithm import Algorithm  # the codec reads the annotations at run time
from hsm.errors import HsmError


class Ca(StrEnum):
    """The keys of a cluster: three SSH CAs, the X.509 CA, and the key of the audit log."""

    USER = "user"
    OPENSSH = "openssh"
    HOST = "host"
    TLS = "tls"
    AUDIT = "audit"


SSH_CAS = frozenset({Ca.USER, Ca.OPENSSH, Ca.HOST})


class Usage(StrEnum):
    """What an X.509 certificate is for (RFC 5280 §4.2.1.12)."""

    SERVER = "server"
    CLIENT = "client"


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """A critical option or extension of an SSH certificate; an empty value is a flag."""

    name: str
    value: str = ""


# -- requests


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKeys:
    """Ask for the public keys; also answered while sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """Ask how the signer is; also answered while sealed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerHead:
    """Ask for the number and hash of the ledger's last entry, to be anchored elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateKey:
    """Make a key.

    Without an algorithm the first of Ed25519, P-256, … that the token has is taken; for `tls` P-256
    comes before Ed25519, since browsers know no Ed25519 certificates.
    """

    ca: Ca
    generation: int
    algorithm: Algorithm | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SignUserCertificate:
    """Ask for a user certificate of the `user` or `openssh` CA; `public_key` is an SSH blob."""

    ca: Ca
    generation: int
    public_key: bytes
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    critical_options: tuple[Option, ...] = ()
    extensions: tuple[Option, ...] = ()
    lane: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignHostCertificate:
    """Ask for a host certificate of the `host` CA."""

    generation: int
    public_key: bytes
    key_id: str
    principals: tuple[str, ...]
    valid_after: int
    valid_before: int
    lane: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignX509:
    """Ask for an end-entity certificate of the `tls` CA; `public_key` is a SubjectPublicKeyInfo (DER)."""

    generation: int
    public_key: bytes
    usages: tuple[Usage, ...]
    common_name: str
    valid_after: int
    valid_before: int
    organisations: tuple[str, ...] = ()
    dns_names: tuple[str, ...] = ()
    ip_addresses: tuple[str, ...] = ()
    uris: tuple[str, ...] = ()
    lane: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignCaCertificate:
    """Ask for the self-signed certificate of the `tls` CA's key."""

    generation: int
    valid_after: int
    valid_before: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignCheckpoint:
    """Ask for the `audit` key's signature under a checkpoint (C2SP tlog-checkpoint): origin, size, root.

    A tree that shrank, or has another root at the same size, is refused.
    """

    generation: int
    note: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Preflight:
    """Ask what the token has and how fast it is, before a start, upgrade or rotation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attest:
    """Ask where a key was made."""

    ca: Ca
    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """Log out of the token and forget the PIN."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unseal:
    """Open the token with the PIN; a wrong one is tried once."""

    pin: str

    def __repr__(self) -> str:
        return "Unseal(pin=<secret>)"


Request = (
    PublicKeys
    | Status
    | LedgerHead
    | CreateKey
    | SignUserCertificate
    | SignHostCertificate
    | SignX509
    | SignCaCertificate
    | SignCheckpoint
    | Preflight
    | Attest
    | Seal
    | Unseal
)

REQUESTS: dict[str, type[Request]] = {
    "public_keys": PublicKeys,
    "status": Status,
    "ledger_head": LedgerHead,
    "create_key": CreateKey,
    "sign_user_certificate": SignUserCertificate,
    "sign_host_certificate": SignHostCertificate,
    "sign_x509": SignX509,
    "sign_ca_certificate": SignCaCertificate,
    "sign_checkpoint": SignCheckpoint,
    "preflight": Preflight,
    "attest": Attest,
    "seal": Seal,
    "unseal": Unseal,
}


# -- answers


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicKey:
    """A key of the cluster: its place, its algorithm, its SSH blob."""

    ca: Ca
    generation: int
    algorithm: Algorithm
    public_key: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Keys:
    """The answer to `PublicKeys` (all keys) and `CreateKey` (the new one)."""

    keys: tuple[PublicKey, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Issued:
    """A certificate: SSH wire form, or DER of an X.509 one. `entry` is its number in the ledger."""

    serial: int
    certificate: bytes
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedNote:
    """A signed note (C2SP signed-note): the checkpoint, a blank line, the signature line."""

    note: str
    entry: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The last entry of the ledger; `hash` is SHA-256 in hex."""

    entries: int
    hash: str


class SealState(StrEnum):
    """Whether the signer can sign: it is opening only from its start until the token has answered."""

    OPENING = "opening"
    OPEN = "open"
    SEALED = "sealed"
    TOKEN_GONE = "token_gone"  # noqa: S105  # not a password


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """How the signer is. `waiting` requests stand in the queue of `queue_size`."""

    cluster: str
    state: SealState
    reason: str
    head: Head
    waiting: int
    queue_size: int
    signatures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PreflightReport:
    """What the token is, has and does.

    `signatures_per_second` was measured just now with the audit key, and is 0 where there is none
    yet. `problems` is empty where a start or rotation may go on.
    """

    model: str
    serial: str
    firmware: str
    hardware: bool
    mechanisms: tuple[str, ...]
    algorithms: tuple[Algorithm, ...]
    free_slots: int | None
    pin_tries_left: int | None
    signatures_per_second: int
    notes: tuple[str, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttestationReport:
    """Where a key was made: `software`, `attributes` or `certificate`, with a sentence and DERs."""

    kind: str
    statement: str
    certificates: tuple[bytes, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The answer to `Seal` and `Unseal`."""


Answer = Keys | Issued | SignedNote | Head | StatusReport | PreflightReport | AttestationReport | Done

ANSWERS: dict[type[Request], type[Answer]] = {
    PublicKeys: Keys,
    Status: StatusReport,
    LedgerHead: Head,
    CreateKey: Keys,
    SignUserCertificate: Issued,
    SignHostCertificate: Issued,
    SignX509: Issued,
    SignCaCertificate: Issued,
    SignCheckpoint: SignedNote,
    Preflight: PreflightReport,
    Attest: AttestationReport,
    Seal: Done,
    Unseal: Done,
}


# -- refusals


class Code(StrEnum):
    """Why not."""

    SEALED = "sealed"
    LIMIT = "limit"
    RATE = "rate"
    BUSY = "busy"
    TOKEN_GONE = "token_gone"  # noqa: S105  # not a password
    TOKEN_FAULT = "token_fault"  # noqa: S105  # not a password
    UNAVAILABLE = "unavailable"
    REFUSED = "refused"
    MALFORMED = "malformed"
    NO_KEY = "no_key"
    KEY_EXISTS = "key_exists"
    LEDGER = "ledger"
    PIN_REFUSED = "pin_refused"
    PIN_LOCKED = "pin_locked"
    UNSUPPORTED = "unsupported"


RETRYABLE = frozenset({Code.RATE, Code.BUSY, Code.TOKEN_GONE, Code.UNAVAILABLE})


class SignerError(HsmError):
    """The signer's "no", on both sides of its socket: a code for programs, a sentence for the audit.

    `retryable` says that the same request may succeed later without a person. `wait` is how many
    seconds to wait before that makes sense.
    """

    def __init__(self, code: Code, message: str, *, wait: float = 0.0) -> None:
        super().__init__(message)
        self.code = code
        self.wait = wait

    @property
    def retryable(self) -> bool:  # type: ignore[override]  # the class attribute, told per code
        """Whether trying again may help."""
        return self.code in RETRYABLE

    def __str__(self) -> str:
        return f"{self.code}: {super().__str__()}"
