"""Keys in a PKCS#11 token, through python-pkcs11.

One session, one lock (`hsm.pkcs11_module` says why). Keys are made SENSITIVE and not EXTRACTABLE. A
lost session or a pulled token is met by initialising the module again, once for each call; the PIN
that opened the token before is used for that, never one that was refused. The token must be the same
one again, by its serial number. Objects outside of our label range are not even read beyond their label.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pkcs11 import Mechanism
from pkcs11.constants import Attribute, ObjectClass, SlotFlag
from pkcs11.exceptions import (
    MechanismInvalid,
    MultipleObjectsReturned,
    PinIncorrect,
    PinInvalid,
    PinLenRange,
    PKCS11Error,
    UserAlreadyLoggedIn,
)
from pkcs11.exceptions import NoSuchKey as NoSuchObject
from pkcs11.exceptions import PinLocked as TokenPinLocked

from hsm import pkcs11_keys, pkcs11_module
from hsm.encoding.signature import Signature
from hsm.errors import KeyExists, NoSuchKey, PinLocked, PinRefused, TokenFault, TokenGone, Unsupported
from hsm.profiles import PROFILES, Profile, ProfileName
from hsm.provider import Algorithm, Attestation, AttestationKind, KeyInfo, KeyProvider, Probe

if TYPE_CHECKING:
    from collections.abc import Callable

    from hsm.naming import Namespace
    from hsm.secret import Secret
    from hsm.uri import Pkcs11Uri

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class _Handle:
    """A key of ours in the present session."""

    private: Any
    info: KeyInfo


@dataclass(slots=True)
class _Session:
    """An open session with what was looked up in it."""

    raw: Any
    life: int
    mechanisms: frozenset[Mechanism]
    handles: dict[str, _Handle]


class Pkcs11Provider(KeyProvider):
    """A token as a provider. Opening it logs in; raises `PinRefused`, `PinLocked`, `TokenGone`."""

    def __init__(
        self,
        *,
        uri: Pkcs11Uri,
        pin: Secret,
        namespace: Namespace,
        profile: Profile = PROFILES[ProfileName.GENERIC],
    ) -> None:
        if uri.module_path is None:
            raise Unsupported("the URI names no module: add ?module-path=")
        self._uri = uri
        self._pin: Secret | None = pin
        self._namespace = namespace
        self._profile = profile
        self._serial: str | None = None
        self._session: _Session | None = None
        self._module = pkcs11_module.load(uri.module_path)
        with self._module.lock:
            try:
                self._open()
            except TokenGone:  # a token made or plugged in since the module was initialised
                self._module.reinitialise(self._module.life)
                self._open()

    def create(self, label: str, algorithm: Algorithm) -> KeyInfo:
        """Make the key pair inside of the token."""
        self._namespace.require(label)
        return self._call(lambda session: self._create(session, label, algorithm), again=False)

    def public_key(self, label: str) -> bytes:
        """Return the public key as an SSH blob."""
        return self._call(lambda session: self._handle(session, label).info.public_key)

    def sign(self, label: str, message: bytes) -> Signature:
        """Sign in the token; hashing is done here, since not every token has the combined mechanism."""
        return self._call(lambda session: self._sign(session, label, message))

    def list(self) -> tuple[KeyInfo, ...]:
        """Return the keys of our range."""
        return self._call(self._list)

    def delete(self, label: str) -> None:
        """Destroy both halves of the key pair."""
        self._call(lambda session: self._delete(session, label), again=False)

    def attest(self, label: str) -> Attestation:
        """Return what the token's own attributes say of the key; a module can lie about them."""
        statement = self._call(lambda session: self._attributes(session, label))
        kind = AttestationKind.SOFTWARE if self._profile.hardware is False else AttestationKind.ATTRIBUTES
        return Attestation(label=label, kind=kind, statement=statement)

    def probe(self) -> Probe:
        """Ask the token for mechanisms and flags."""
        return self._call(self._probe)

    def close(self) -> None:
        """Log out, close the session and forget the PIN."""
        with self._module.lock:
            self._drop()
            self._pin = None

    # -- the session

    def _call(self, act: Callable[[_Session], Answer], *, again: bool = True) -> Answer:
        """Act under the lock; if the session turns out to be lost, open it anew and act once more."""
        with self._module.lock:
            session = self._opened()
            try:
                return act(session)
            except pkcs11_module.LOST as error:
                self._reopen(session)
                if not again:
                    message = "the token was lost while it worked; look before trying again"
                    raise TokenGone(message) from error
            except PKCS11Error as error:
                raise TokenFault(f"the token refused: {pkcs11_module.name(error)}") from error
            try:
                return act(self._opened())
            except pkcs11_module.LOST as error:
                raise TokenGone(f"the token is lost: {pkcs11_module.name(error)}") from error

    def _opened(self) -> _Session:
        self._module.check_process()
        if self._session is None or self._session.life != self._module.life:
            life = self._module.life
            try:
                self._open()
            except TokenGone:
                self._module.reinitialise(life)
                self._open()
        if self._session is None:
            raise TokenGone("the token was closed")
        return self._session

    def _reopen(self, lost: _Session) -> None:
        self._drop()
        self._module.reinitialise(lost.life)
        self._open()

    def _open(self) -> None:
        token = pkcs11_module.find_token(self._module, self._uri)
        serial = pkcs11_module.serial_of(token)
        if self._serial not in {None, serial}:
            raise TokenGone("another token of that name is plugged in; the PIN was not tried on it")
        try:
            raw = self._login(token)
            mechanisms = frozenset(token.slot.get_mechanisms())
        except pkcs11_module.LOST as error:
            raise TokenGone(f"no session: {pkcs11_module.name(error)}") from error
        self._serial = serial
        self._session = _Session(raw, self._module.life, mechanisms, {})

    def _login(self, token: Any) -> Any:
        if self._pin is None:
            raise PinRefused("no PIN is held: it was refused before, or the provider was closed")
        pkcs11_module.check_pin_state(token)
        try:
            return token.open(rw=True, user_pin=self._pin.reveal_text())
        except UserAlreadyLoggedIn:  # another provider of this process is logged in to it
            return token.open(rw=True)
        except TokenPinLocked as error:
            self._pin = None
            raise PinLocked("the token's PIN is locked") from error
        except (PinIncorrect, PinInvalid, PinLenRange) as error:
            self._pin = None  # a refused PIN is never tried twice
            tries = pkcs11_module.pin_tries_left(token)
            raise PinRefused("the token refused the PIN", tries_left=tries) from error

    def _drop(self) -> None:
        session, self._session = self._session, None
        if session is None or session.life != self._module.life:
            return
        with contextlib.suppress(PKCS11Error):  # it may be lost, which is then why it is dropped
            session.raw.close()

    # -- keys in a session; the lock is held

    def _create(self, session: _Session, label: str, algorithm: Algorithm) -> KeyInfo:
        if algorithm not in self._algorithms(session):
            raise Unsupported(f"the token has no {algorithm} keys")
        key_id = self._namespace.key_id(label, self._profile.id_size)
        if self._taken(session, label, key_id):
            raise KeyExists(f"there is an object of the label or id of {label!r} already")
        pkcs11_keys.generate(session.raw, label, key_id, algorithm, private_flag=self._profile.private_flag)
        return self._handle(session, label).info

    def _taken(self, session: _Session, label: str, key_id: bytes) -> bool:
        templates = ({Attribute.LABEL: label}, {Attribute.ID: key_id})
        return any(True for template in templates for _ in session.raw.get_objects(template))

    def _handle(self, session: _Session, label: str) -> _Handle:
        found = session.handles.get(label)
        if found is None:
            found = session.handles[label] = self._look_up(session, self._namespace.require(label))
        return found

    def _look_up(self, session: _Session, label: str) -> _Handle:
        key_id = self._namespace.key_id(label, self._profile.id_size)
        try:
            private = session.raw.get_key(object_class=ObjectClass.PRIVATE_KEY, label=label, id=key_id)
            public = session.raw.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label, id=key_id)
        except NoSuchObject as error:
            raise NoSuchKey(f"no key {label!r} on the token") from error
        except MultipleObjectsReturned as error:
            raise TokenFault(f"several keys are called {label!r}") from error
        blob, algorithm = pkcs11_keys.public_blob(public)
        return _Handle(private, KeyInfo(label=label, algorithm=algorithm, public_key=blob))

    def _sign(self, session: _Session, label: str, message: bytes) -> Signature:
        handle = self._handle(session, label)
        algorithm = handle.info.algorithm
        mechanism, data = pkcs11_keys.input_of(algorithm, message, session.mechanisms)
        try:
            return Signature(algorithm, bytes(handle.private.sign(data, mechanism=mechanism)))
        except MechanismInvalid as error:
            raise Unsupported(f"the token does not sign with {mechanism.name}") from error

    def _list(self, session: _Session) -> tuple[KeyInfo, ...]:
        objects = session.raw.get_objects({Attribute.CLASS: ObjectClass.PRIVATE_KEY})
        labels = {str(found.label) for found in objects}
        ours = sorted(label for label in labels if self._namespace.owns(label))
        return tuple(self._handle(session, label).info for label in ours)

    def _delete(self, session: _Session, label: str) -> None:
        handle = self._handle(session, label)
        key_id = self._namespace.key_id(label, self._profile.id_size)
        public = session.raw.get_key(object_class=ObjectClass.PUBLIC_KEY, label=label, id=key_id)
        handle.private.destroy()
        public.destroy()
        del session.handles[label]

    def _attributes(self, session: _Session, label: str) -> str:
        private = self._handle(session, label).private
        names = (Attribute.LOCAL, Attribute.SENSITIVE, Attribute.ALWAYS_SENSITIVE)
        wanted = {*names, Attribute.EXTRACTABLE, Attribute.NEVER_EXTRACTABLE}
        says = ", ".join(
            f"{item.name}={private[item]}" for item in sorted(wanted, key=lambda item: item.name)
        )
        token = session.raw.token
        return f"{token.model} {pkcs11_module.serial_of(token)} says of {label}: {says}."

    def _algorithms(self, session: _Session) -> tuple[Algorithm, ...]:
        return tuple(
            algorithm
            for algorithm in Algorithm
            if algorithm in self._profile.algorithms
            and pkcs11_keys.offered(algorithm, session.mechanisms)
            and self._size_offered(session, algorithm)
        )

    def _size_offered(self, session: _Session, algorithm: Algorithm) -> bool:
        if not algorithm.is_rsa:
            return True
        info = session.raw.token.slot.get_mechanism_info(Mechanism.RSA_PKCS_KEY_PAIR_GEN)
        return not info.max_key_length or algorithm.bits <= info.max_key_length

    def _probe(self, session: _Session) -> Probe:
        token = session.raw.token
        return Probe(
            model=f"{token.manufacturer_id} {token.model}".strip(),
            serial=pkcs11_module.serial_of(token),
            firmware=".".join(map(str, token.firmware_version)),
            hardware=self._hardware(token),
            mechanisms=tuple(sorted(getattr(item, "name", hex(item)) for item in session.mechanisms)),
            algorithms=self._algorithms(session),
            free_slots=None,
            pin_tries_left=pkcs11_module.pin_tries_left(token),
            notes=() if self._profile.tested else ("this kind of token is not in our test suite",),
        )

    def _hardware(self, token: Any) -> bool:
        return (
            bool(token.slot.flags & SlotFlag.HW_SLOT)
            if self._profile.hardware is None
            else self._profile.hardware
        )
