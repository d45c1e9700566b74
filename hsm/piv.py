"""Keys in the PIV applet of a YubiKey, over PC/SC.

PIV has slots and no labels, so each key of ours has beside it, in the slot's certificate object, a
certificate made with that very key whose subject alternative name is the label as a URI. A slot
that has a key but no such certificate is somebody else's and is never touched; neither is any slot outside
of the configured range (by default the twenty retired ones).

Making and deleting keys needs the management key (AES). Signing needs the PIN, which is given to
the card once after each time it was plugged in, and never once it was refused.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.x509.oid import NameOID

from hsm import piv_attestation, piv_card
from hsm.apdu import SW_SECURITY, CardRefused, Connection
from hsm.encoding import public_key
from hsm.encoding import x509 as x509_encoding
from hsm.errors import (
    HsmError,
    KeyExists,
    Malformed,
    NoSuchKey,
    PinRefused,
    TokenFault,
    TokenGone,
    Unsupported,
)
from hsm.provider import Algorithm, Attestation, AttestationKind, KeyInfo, KeyProvider, Probe

if TYPE_CHECKING:
    from hsm.encoding.signature import Signature
    from hsm.naming import Namespace
    from hsm.secret import Secret

Answer = TypeVar("Answer")
Connect = Callable[[], Connection]
_MARK = x509.Name((x509.NameAttribute(NameOID.COMMON_NAME, "Sallyport key label"),))
_LABEL_BEGINS, _LABEL_ENDS = datetime(2000, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
_RESET = frozenset({SW_SECURITY, 0x6D00, 0x6E00})
"""Status words of a card that forgot the PIN, or has another applet selected by somebody else."""


@dataclass(frozen=True, slots=True)
class _Place:
    slot: int
    info: KeyInfo


@dataclass(slots=True)
class _Session:
    """A connected card: who it is, and which of our keys are where."""

    card: Connection
    serial: int
    firmware: piv_card.Version
    places: dict[str, _Place] = field(default_factory=dict)


class PivProvider(KeyProvider):
    """A YubiKey as a provider; opening it verifies the PIN.

    `connect` returns a fresh connection to the card each time, or raises `TokenGone`. `serial` pins the one
    key that is meant. `trusted` are the certificates that attestations have to lead to.
    """

    def __init__(
        self,
        *,
        connect: Connect,
        pin: Secret,
        namespace: Namespace,
        serial: int | None = None,
        management_key: Secret | None = None,
        trusted: Sequence[x509.Certificate] = (),
        slots: Sequence[int] = piv_card.RETIRED,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._connect = connect
        self._pin: Secret | None = pin
        self._namespace = namespace
        self._serial = serial
        self._management_key = management_key
        self._trusted = tuple(trusted)
        self._slots = tuple(slots)
        self._random = random
        self._session: _Session | None = None
        self._turn = threading.RLock()
        self._call(lambda _: None)

    def create(self, label: str, algorithm: Algorithm) -> KeyInfo:
        """Make a key in the first free slot of the range and write its label beside it."""
        self._namespace.require(label)
        return self._call(lambda session: self._create(session, label, algorithm))

    def public_key(self, label: str) -> bytes:
        """Return the public key as an SSH blob."""
        return self._call(lambda session: self._place(session, label).info.public_key)

    def sign(self, label: str, message: bytes) -> Signature:
        """Sign on the card; about 50 ms with ECDSA on a real one."""
        return self._call(lambda session: self._sign(session, label, message))

    def list(self) -> tuple[KeyInfo, ...]:
        """Return the keys of our range."""
        return self._call(self._list)

    def delete(self, label: str) -> None:
        """Destroy the key and its label; needs firmware 5.7."""
        self._call(lambda session: self._delete(session, label))

    def attest(self, label: str) -> Attestation:
        """Return the card's certificate over the key, checked up to a trusted root.

        Raises `TokenFault` where it does not lead to one; `Unsupported` where none is trusted.
        """
        return self._call(lambda session: self._attest(session, label))

    def probe(self) -> Probe:
        """Ask the card for version, serial, PIN tries, and count free slots."""
        return self._call(self._probe)

    def close(self) -> None:
        """Let go of the card and forget the PIN."""
        with self._turn:
            self._drop()
            self._pin = None

    # -- the card

    def _call(self, act: Callable[[_Session], Answer]) -> Answer:
        """Act in one transaction; a card that was pulled or reset meanwhile is opened again, once."""
        with self._turn:
            try:
                return self._attempt(act)
            except TokenGone:
                self._drop()
            except CardRefused as error:
                if error.status not in _RESET:
                    raise TokenFault(str(error)) from error
                self._drop()
            try:
                return self._attempt(act)
            except CardRefused as error:
                raise TokenFault(str(error)) from error

    def _attempt(self, act: Callable[[_Session], Answer]) -> Answer:
        if self._session is None:
            self._session = self._open()
        with self._session.card.transaction():
            return act(self._session)

    def _open(self) -> _Session:
        if self._pin is None:
            raise PinRefused("no PIN is held: it was refused before, or the provider was closed")
        card = self._connect()
        try:
            with card.transaction():
                return self._greet(card, self._pin)
        except (HsmError, ValueError):
            card.close()
            raise

    def _greet(self, card: Connection, pin: Secret) -> _Session:
        piv_card.select(card)
        serial, firmware = piv_card.serial(card), piv_card.version(card)
        if self._serial not in {None, serial}:
            raise TokenGone(
                f"the YubiKey {serial} is plugged in, not {self._serial}; the PIN was not tried on it"
            )
        try:
            piv_card.verify_pin(card, pin)
        except PinRefused:
            self._pin = None  # a refused PIN is never tried twice
            raise
        self._serial = serial
        return _Session(card, serial, firmware)

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.card.close()

    # -- keys; in a transaction

    def _create(self, session: _Session, label: str, algorithm: Algorithm) -> KeyInfo:
        if algorithm not in piv_card.algorithms(session.firmware):
            raise Unsupported(f"a YubiKey of firmware {_dotted(session.firmware)} has no {algorithm} keys")
        if label in self._look(session):
            raise KeyExists(f"there is a key {label!r} already")
        slot = self._free_slot(session)
        self._authenticate(session)
        key = piv_card.generate(session.card, slot, algorithm)
        blob = public_key.dump(key)
        piv_card.write_certificate(session.card, slot, self._label_certificate(session, slot, label, blob))
        info = KeyInfo(label=label, algorithm=algorithm, public_key=blob)
        session.places[label] = _Place(slot, info)
        return info

    def _free_slot(self, session: _Session) -> int:
        for slot in self._slots:
            if self._is_free(session, slot):
                return slot
        raise Unsupported("no slot is free in the range of this cluster")

    def _is_free(self, session: _Session, slot: int) -> bool:
        try:
            empty = piv_card.slot_key(session.card, slot) is None
        except Unsupported:
            return False  # a foreign key of a kind not used here
        return empty and piv_card.read_certificate(session.card, slot) is None

    def _authenticate(self, session: _Session) -> None:
        if self._management_key is None:
            raise Unsupported("without the management key no key is made or deleted on a YubiKey")
        piv_card.authenticate(session.card, self._management_key, self._random)

    def _label_certificate(self, session: _Session, slot: int, label: str, blob: bytes) -> bytes:
        builder = x509.CertificateBuilder(
            issuer_name=_MARK,
            subject_name=_MARK,
            public_key=public_key.load(blob),
            serial_number=1,
            not_valid_before=_LABEL_BEGINS,
            not_valid_after=_LABEL_ENDS,
        ).add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(label)]), critical=False)
        unsigned = x509_encoding.prepare(builder, blob)
        algorithm = public_key.algorithm_of(blob)
        return unsigned.finish(piv_card.sign(session.card, slot, algorithm, unsigned.to_be_signed))

    def _look(self, session: _Session) -> dict[str, _Place]:
        """Read which of our keys are where; a label whose key is another is a fault, not a key."""
        places = dict[str, _Place]()
        for slot in self._slots:
            der = piv_card.read_certificate(session.card, slot)
            label = None if der is None else _label_of(der)
            if der is None or label is None or not self._namespace.owns(label):
                continue
            if label in places:
                raise TokenFault(f"two slots are called {label!r}")
            places[label] = _Place(slot, self._checked(session, slot, label, der))
        session.places = places
        return places

    def _checked(self, session: _Session, slot: int, label: str, der: bytes) -> KeyInfo:
        key, stored = piv_card.slot_key(session.card, slot), x509.load_der_x509_certificate(der).public_key()
        if key is None or key.public_key != stored:
            raise TokenFault(
                f"slot {slot:02x} does not hold the key that its label {label!r} was written for"
            )
        return KeyInfo(label=label, algorithm=key.algorithm, public_key=public_key.dump(key.public_key))

    def _place(self, session: _Session, label: str) -> _Place:
        self._namespace.require(label)
        place = session.places.get(label) or self._look(session).get(label)
        if place is None:
            raise NoSuchKey(f"no key {label!r} on the YubiKey")
        return place

    def _sign(self, session: _Session, label: str, message: bytes) -> Signature:
        place = self._place(session, label)
        return piv_card.sign(session.card, place.slot, place.info.algorithm, message)

    def _list(self, session: _Session) -> tuple[KeyInfo, ...]:
        places = self._look(session)
        return tuple(places[label].info for label in sorted(places))

    def _delete(self, session: _Session, label: str) -> None:
        place = self._place(session, label)
        if session.firmware < (5, 7, 0):
            raise Unsupported("a YubiKey before firmware 5.7 cannot delete one key")
        self._authenticate(session)
        piv_card.delete_key(session.card, place.slot)
        piv_card.write_certificate(session.card, place.slot, None)
        del session.places[label]

    def _attest(self, session: _Session, label: str) -> Attestation:
        place = self._place(session, label)
        attestation = piv_card.attest(session.card, place.slot)
        attesting = piv_card.read_certificate(session.card, piv_card.Slot.ATTESTATION)
        if attesting is None or not self._trusted:
            raise Unsupported("no attestation key on the card, or no trusted root to check it with")
        found = piv_attestation.verify(attestation, attesting, self._trusted, serial=session.serial)
        if not piv_attestation.attests(found, place.info.public_key):
            raise TokenFault("the attestation is of another key")
        statement = (
            f"YubiKey {found.serial}, firmware {found.firmware}, made the key in slot {place.slot:02x} "
            f"(PIN policy {found.pin_policy}, touch policy {found.touch_policy}); root {found.root}."
        )
        return Attestation(
            label=label,
            kind=AttestationKind.CERTIFICATE,
            statement=statement,
            certificates=(attestation, attesting),
        )

    def _probe(self, session: _Session) -> Probe:
        found = piv_card.algorithms(session.firmware)
        notes = () if self._management_key else ("no management key: no key can be made here",)
        return Probe(
            model="YubiKey PIV",
            serial=str(session.serial),
            firmware=_dotted(session.firmware),
            hardware=True,
            mechanisms=tuple(f"{piv_card.ALGORITHMS[algorithm]:02x} {algorithm}" for algorithm in found),
            algorithms=found,
            free_slots=sum(self._is_free(session, slot) for slot in self._slots),
            pin_tries_left=piv_card.pin_tries_left(session.card),
            notes=notes,
        )


def _dotted(firmware: piv_card.Version) -> str:
    return ".".join(map(str, firmware))


def _label_of(der: bytes) -> str | None:
    """Return the label in a certificate that we wrote, or None for anybody else's."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return None
    if certificate.subject != _MARK:
        return None
    return next(iter(names.get_values_for_type(x509.UniformResourceIdentifier)), None)


def connect_by_serial(serial: int | None) -> Connect:
    """Return a `connect` that finds the YubiKey of that serial number among the PC/SC readers.

    Without a serial number the first card with a PIV applet is taken.
    """
    from hsm import pcsc  # noqa: PLC0415  # PC/SC is loaded only where it is used

    def connect() -> Connection:
        for card in pcsc.connections():
            if _is_meant(card, serial):
                return card
            card.close()
        raise TokenGone(
            "the YubiKey is not plugged in" if serial is None else f"YubiKey {serial} is not plugged in"
        )

    return connect


def _is_meant(card: Connection, serial: int | None) -> bool:
    try:
        with card.transaction():
            piv_card.select(card)
            return serial is None or piv_card.serial(card) == serial
    except (CardRefused, TokenGone):
        return False


def load_trusted(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Read trusted attestation certificates, PEM; raises `Malformed`."""
    try:
        return tuple(x509.load_pem_x509_certificates(pem))
    except ValueError as error:
        raise Malformed("not PEM certificates") from error
