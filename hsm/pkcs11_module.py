"""One PKCS#11 module in this process: loaded once, one call at a time.

python-pkcs11 initialises a module without locking and lets go of the interpreter lock around calls,
so that two sessions used from two threads corrupt its memory. Every call of this process into one
module is therefore made under that module's one lock, whatever the number of providers.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pkcs11
from pkcs11.constants import TokenFlag
from pkcs11.exceptions import (
    DeviceError,
    DeviceMemory,
    DeviceRemoved,
    FunctionFailed,
    GeneralError,
    KeyHandleInvalid,
    NoSuchToken,
    ObjectHandleInvalid,
    PKCS11Error,
    SessionClosed,
    SessionHandleInvalid,
    SlotIDInvalid,
    TokenNotPresent,
    TokenNotRecognised,
    UserNotLoggedIn,
)

from hsm.errors import Malformed, PinLocked, PinRefused, TokenFault, TokenGone

if TYPE_CHECKING:
    from hsm.uri import Pkcs11Uri

LOST = (
    DeviceError,
    DeviceMemory,
    DeviceRemoved,
    FunctionFailed,
    GeneralError,
    KeyHandleInvalid,
    NoSuchToken,
    ObjectHandleInvalid,
    SessionClosed,
    SessionHandleInvalid,
    SlotIDInvalid,
    TokenNotPresent,
    TokenNotRecognised,
    UserNotLoggedIn,
)
"""What a module says when the token was pulled, or a session or handle is of an earlier life."""


@dataclass(slots=True, kw_only=True)
class Module:
    """A loaded module. `life` grows with each initialisation; handles of an earlier life are dead."""

    path: Path
    lib: Any
    pid: int
    life: int = 0
    lock: threading.RLock = field(default_factory=threading.RLock)

    def reinitialise(self, seen_life: int) -> None:
        """Initialise again, unless somebody did since that life; call it with the lock held."""
        if self.life != seen_life:
            return
        try:
            self.lib.reinitialize()
        except PKCS11Error as error:
            raise TokenGone(f"{self.path.name} does not start: {name(error)}") from error
        self.life += 1

    def check_process(self) -> None:
        """Refuse a module that came here by a fork: it would carry the parent's login."""
        if self.pid != os.getpid():
            raise TokenFault("a PKCS#11 module does not survive a fork; open it in this process")


_modules: dict[Path, Module] = {}
_loading = threading.Lock()


def load(path: Path) -> Module:
    """Return the one `Module` of that path; raises `Malformed` where it cannot be loaded."""
    with _loading:
        if path not in _modules or _modules[path].pid != os.getpid():
            try:
                lib = pkcs11.lib(str(path))
            except (PKCS11Error, RuntimeError, OSError) as error:
                raise Malformed(f"{path} cannot be loaded as a PKCS#11 module") from error
            _modules[path] = Module(path=path, lib=lib, pid=os.getpid())
        return _modules[path]


def find_token(module: Module, uri: Pkcs11Uri) -> Any:
    """Return the one token that the URI names; raises `TokenGone`, or `TokenFault` for several."""
    try:
        found = [slot.get_token() for slot in module.lib.get_slots(token_present=True) if _in_slot(slot, uri)]
    except LOST as error:
        raise TokenGone(f"no token answers: {name(error)}") from error
    matching = [token for token in found if _matches(token, uri)]
    if not matching:
        raise TokenGone("the token is not there")
    if len(matching) > 1:
        raise TokenFault("several tokens fit the URI; give its serial number too")
    return matching[0]


def _in_slot(slot: Any, uri: Pkcs11Uri) -> bool:
    return uri.slot_id is None or slot.slot_id == uri.slot_id


def _matches(token: Any, uri: Pkcs11Uri) -> bool:
    wanted = (
        (uri.token, token.label),
        (uri.manufacturer, token.manufacturer_id),
        (uri.model, token.model),
        (uri.serial, serial_of(token)),
    )
    return bool(token.flags & TokenFlag.TOKEN_INITIALIZED) and all(
        want is None or want == has for want, has in wanted
    )


def serial_of(token: Any) -> str:
    """Return a token's serial number as text."""
    serial = token.serial
    return (
        serial.decode(errors="replace").rstrip("\x00 ") if isinstance(serial, bytes) else str(serial).strip()
    )


def pin_tries_left(token: Any) -> int | None:
    """Return 0 for a locked token, 1 before the last try, None where the token does not say more."""
    if token.flags & TokenFlag.USER_PIN_LOCKED:
        return 0
    return 1 if token.flags & TokenFlag.USER_PIN_FINAL_TRY else None


def check_pin_state(token: Any) -> None:
    """Raise instead of spending the last try, which belongs to a person."""
    tries = pin_tries_left(token)
    if tries == 0:
        raise PinLocked("the token's PIN is locked")
    if tries == 1:
        raise PinRefused("one try is left for the PIN and is kept for a person", tries_left=1)


def name(error: BaseException) -> str:
    """Return the name of a PKCS#11 error; their texts are empty."""
    return type(error).__name__
