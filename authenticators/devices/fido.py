"""WebAuthn ceremonies with a key on this machine: the options of a relying party in, the response out.

client = FidoClient(prompter=TerminalPrompter())
response = client.get_assertion(options, "https://box.example:3080")      # JSON, as a browser would send it
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Timer
from typing import Any, Final, TypeVar

from fido2.client import (
    AssertionSelection,
    ClientDataCollector,
    ClientError,
    Fido2Client,
    PinRequiredError,
    UserInteraction,
)
from fido2.ctap import CtapDevice, CtapError
from fido2.ctap1 import APDU, ApduError, Ctap1
from fido2.ctap2.base import Ctap2
from fido2.ctap2.pin import ClientPin
from fido2.hid import CAPABILITY, ConnectionFailure
from fido2.rpid import verify_rp_id
from fido2.utils import sha256
from fido2.webauthn import (
    CollectedClientData,
    PublicKeyCredentialCreationOptions,
    PublicKeyCredentialRequestOptions,
    UserVerificationRequirement,
)

from authenticators.devices.finder import FidoKey, Finder, choose_key, close_keys, find_fido_keys
from authenticators.devices.prompter import Prompter
from authenticators.devices.smart_card import CARD_ERRORS
from authenticators.errors import DeviceError, DeviceErrorCode, U2fError
from authenticators.u2f.facets import check_app_id

Json = dict[str, Any]
Answer = TypeVar("Answer")

_Code = DeviceErrorCode
_Error = CtapError.ERR

_CODES: Final[Mapping[int, DeviceErrorCode]] = {
    _Error.CREDENTIAL_EXCLUDED: _Code.ALREADY_REGISTERED,
    _Error.NO_CREDENTIALS: _Code.NO_CREDENTIAL,
    _Error.KEEPALIVE_CANCEL: _Code.CANCELLED,
    _Error.ACTION_TIMEOUT: _Code.TIMED_OUT,
    _Error.USER_ACTION_TIMEOUT: _Code.TIMED_OUT,
    _Error.OPERATION_DENIED: _Code.REFUSED,
    _Error.NOT_ALLOWED: _Code.REFUSED,
    _Error.UNSUPPORTED_ALGORITHM: _Code.NOT_SUPPORTED,
    _Error.UNSUPPORTED_OPTION: _Code.NOT_SUPPORTED,
    _Error.KEY_STORE_FULL: _Code.KEY_STORE_FULL,
    _Error.PIN_BLOCKED: _Code.PIN_BLOCKED,
    _Error.PIN_AUTH_BLOCKED: _Code.PIN_NEEDS_REINSERTION,
    _Error.PIN_NOT_SET: _Code.PIN_NOT_SET,
    _Error.PUAT_REQUIRED: _Code.PIN_REQUIRED,
}
_CLIENT_CODES: Final[Mapping[int, DeviceErrorCode]] = {
    ClientError.ERR.DEVICE_INELIGIBLE: _Code.NO_CREDENTIAL,
    ClientError.ERR.TIMEOUT: _Code.TIMED_OUT,
    ClientError.ERR.CONFIGURATION_UNSUPPORTED: _Code.NOT_SUPPORTED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FidoClient:
    """Finds a key, talks to the person, and runs a ceremony; `seconds` is how long all of it may take."""

    prompter: Prompter
    find: Finder = find_fido_keys
    serial: str | None = None
    seconds: float = 60.0

    def make_credential(
        self, options: Mapping[str, Any], origin: str, *, cancel: Event | None = None
    ) -> Json:
        """Return the RegistrationResponseJSON for the options of `navigator.credentials.create()`.

        `origin` is the relying party as this client knows it, such as `https://box.example:3080`; `cancel`
        ends the ceremony from another thread. Raises `DeviceError`.
        """
        request = _read(PublicKeyCredentialCreationOptions, options)
        _check_rp_id(request.rp.id, origin)

        def ceremony(key: FidoKey, person: _Person, stop: Event) -> Json:
            asked = request
            if not _verifies(key.device) and _prefers(
                getattr(request.authenticator_selection, "user_verification", None)
            ):
                selection = {
                    **_json(request.authenticator_selection or {}),
                    "userVerification": "discouraged",
                }
                asked = _changed(request, authenticatorSelection=selection)
            client = Fido2Client(key.device, _Collector(origin, request.rp.id or ""), person)
            response: Json = _json(client.make_credential(asked, stop))
            return response

        return self._run(ceremony, cancel)

    def get_assertion(self, options: Mapping[str, Any], origin: str, *, cancel: Event | None = None) -> Json:
        """Return the AuthenticationResponseJSON for the options of `navigator.credentials.get()`.

        Of several accounts on the key the person chooses one. Raises `DeviceError`.
        """
        request = _read(PublicKeyCredentialRequestOptions, options)
        _check_rp_id(request.rp_id, origin)
        app_id = _app_id(request, origin)

        def ceremony(key: FidoKey, person: _Person, stop: Event) -> Json:
            asked, by_app_id = request, bool(app_id and _knows(key.device, app_id, request))
            if by_app_id:
                asked = _changed(asked, rpId=app_id)
            if not _verifies(key.device) and _prefers(asked.user_verification):
                asked = _changed(asked, userVerification="discouraged")
            client = Fido2Client(key.device, _Collector(origin, asked.rp_id or ""), person)
            response: Json = _json(self._choose(client.get_assertion(asked, stop)))
            return response | {"clientExtensionResults": {"appid": by_app_id}} if app_id else response

        return self._run(ceremony, cancel)

    def _choose(self, selection: AssertionSelection) -> Any:
        names = [_account_name(each.user) for each in selection.get_assertions()]
        index = self.prompter.account(names) if len(names) > 1 else 0
        if index is None:
            raise DeviceError(_Code.CANCELLED)
        return selection.get_response(index)

    def _run(self, ceremony: Callable[[FidoKey, _Person, Event], Json], cancel: Event | None) -> Json:
        stop = cancel or Event()
        with _deadline(stop, self.seconds) as expired, self._keys(stop, expired) as keys:
            try:
                key = choose_key(keys, self.prompter, serial=self.serial, cancel=stop)
                return _with_pin(key, self.prompter, lambda person: ceremony(key, person, stop))
            except DeviceError as error:
                raise _ended(error, stop, expired) from error
            except (OSError, ConnectionFailure, *CARD_ERRORS) as error:
                raise DeviceError(_Code.REMOVED) from error

    @contextmanager
    def _keys(self, stop: Event, expired: Event) -> Iterator[Sequence[FidoKey]]:
        """Find the keys, and wait for one where there is none yet."""
        keys = self.find()
        if not keys:
            self.prompter.insert()
        while not keys and not stop.wait(0.3):
            keys = self.find()
        if not keys:
            raise DeviceError(_Code.NO_DEVICE if expired.is_set() else _Code.CANCELLED)
        try:
            yield keys
        finally:
            close_keys(keys)


class _Person(UserInteraction):
    """Carries the library's questions to the prompter, with the tries the key says are left."""

    def __init__(self, key: FidoKey, prompter: Prompter) -> None:
        self._key, self._prompter = key, prompter
        self.wrong_pin = False
        self.gave_up = False

    def prompt_up(self) -> None:
        self._prompter.touch(self._key.name)

    def request_pin(self, _permissions: ClientPin.PERMISSION, _rp_id: str | None) -> str | None:
        tries, _ = ClientPin(Ctap2(self._key.device)).get_pin_retries()
        pin = self._prompter.pin(self._key.name, tries_left=tries, wrong=self.wrong_pin)
        self.gave_up = pin is None
        return pin

    def request_uv(self, _permissions: ClientPin.PERMISSION, _rp_id: str | None) -> bool:
        self._prompter.verify(self._key.name)
        return True


class _Collector(ClientDataCollector):
    """Client data for one origin; that the RP ID or app id fits the origin was checked before."""

    def __init__(self, origin: str, rp_id: str) -> None:
        self._origin, self._rp_id = origin, rp_id

    def collect_client_data(
        self, options: PublicKeyCredentialCreationOptions | PublicKeyCredentialRequestOptions
    ) -> tuple[CollectedClientData, str]:
        creates = isinstance(options, PublicKeyCredentialCreationOptions)
        kind = CollectedClientData.TYPE.CREATE if creates else CollectedClientData.TYPE.GET
        return CollectedClientData.create(kind, options.challenge, self._origin), self._rp_id


def _with_pin(key: FidoKey, prompter: Prompter, ceremony: Callable[[_Person], Answer]) -> Answer:
    """Run the ceremony, and again after a wrong PIN: the key counts the tries, and blocks in the end."""
    person = _Person(key, prompter)
    while True:
        try:
            return ceremony(person)
        except ClientError as error:
            if _cause(error) != _Error.PIN_INVALID:
                raise _translate(error, key, person) from error
            person.wrong_pin = True
        except CtapError as error:
            raise DeviceError(_CODES.get(error.code, _Code.BROKEN), str(error)) from error


def _translate(error: ClientError, key: FidoKey, person: _Person) -> DeviceError:
    if isinstance(error, PinRequiredError):
        return DeviceError(_Code.CANCELLED if person.gave_up else _Code.PIN_REQUIRED)
    cause = _cause(error)
    if cause is not None:
        return DeviceError(_CODES.get(cause, _Code.BROKEN), str(error.cause))
    if error.code == ClientError.ERR.CONFIGURATION_UNSUPPORTED and _lacks_pin(key.device):
        return DeviceError(_Code.PIN_NOT_SET)
    return DeviceError(_CLIENT_CODES.get(error.code, _Code.BROKEN), str(error))


def _cause(error: ClientError) -> int | None:
    return error.cause.code if isinstance(error.cause, CtapError) else None


def _lacks_pin(device: CtapDevice) -> bool:
    try:
        return Ctap2(device).info.options.get("clientPin") is False
    except (ValueError, CtapError):
        return False


def _ended(error: DeviceError, stop: Event, expired: Event) -> DeviceError:
    """Tell a time-out and a cancel apart, which look the same to a key."""
    if expired.is_set() and error.code in {_Code.CANCELLED, _Code.TIMED_OUT}:
        return DeviceError(_Code.TIMED_OUT)
    if stop.is_set() and error.code is _Code.TIMED_OUT:
        return DeviceError(_Code.CANCELLED)
    return error


@contextmanager
def _deadline(stop: Event, seconds: float) -> Iterator[Event]:
    """Set `stop` when the time is over, and the event that is given back, too."""
    expired = Event()

    def expire() -> None:
        expired.set()
        stop.set()

    timer = Timer(seconds, expire)
    timer.daemon = True
    timer.start()
    try:
        yield expired
    finally:
        timer.cancel()


def _read(kind: Any, options: Mapping[str, Any]) -> Any:
    """Read the options, with or without `publicKey` around, without the time-out: ours counts."""
    inner = options.get("publicKey", options)
    try:
        return kind.from_dict({name: value for name, value in inner.items() if name != "timeout"})
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DeviceError(_Code.BAD_OPTIONS) from error


def _changed(request: Any, **members: Any) -> Any:
    """Return the options with members changed, by their JSON names."""
    return _read(type(request), {**_json(request), **members})


def _prefers(user_verification: UserVerificationRequirement | None) -> bool:
    return user_verification in {None, UserVerificationRequirement.PREFERRED}


def _verifies(device: CtapDevice) -> bool:
    """Tell whether the key can know its owner now.

    Where it could but no PIN is set, "preferred" means to go on without; the library would refuse.
    """
    try:
        options = Ctap2(device).info.options
    except (ValueError, CtapError):
        return False
    return any(options.get(name) for name in ("uv", "clientPin", "bioEnroll", "alwaysUv"))


def _check_rp_id(rp_id: str | None, origin: str) -> None:
    """Refuse what a browser refuses: an RP ID that is not the origin's own domain or one above it."""
    if not rp_id or not verify_rp_id(rp_id, origin):
        raise DeviceError(_Code.WRONG_ORIGIN)


def _app_id(request: PublicKeyCredentialRequestOptions, origin: str) -> str | None:
    """Return the app id of the `appid` extension, if it is on the origin's own host (WebAuthn §10.1.1)."""
    app_id = (request.extensions or {}).get("appid")
    if app_id is None:
        return None
    try:
        host = check_app_id(app_id).split("/")[2].partition(":")[0]
    except (U2fError, AttributeError, TypeError) as error:
        raise DeviceError(_Code.BAD_OPTIONS) from error
    _check_rp_id(host, origin)
    return str(app_id)


def _knows(device: CtapDevice, app_id: str, request: PublicKeyCredentialRequestOptions) -> bool:
    """Ask the key, without a touch, whether a credential of the list is its own under the app id."""
    handles = [each.id for each in request.allow_credentials or ()]
    if not device.capabilities & CAPABILITY.CBOR:
        return any(_knows_handle(device, app_id, handle) for handle in handles)
    allowed: list[Mapping[str, Any]] = [{"type": "public-key", "id": handle} for handle in handles]
    try:
        Ctap2(device).get_assertion(app_id, bytes(32), allowed, options={"up": False})
    except CtapError as error:
        return error.code not in {_Error.NO_CREDENTIALS, _Error.INVALID_CREDENTIAL}
    return True


def _knows_handle(device: CtapDevice, app_id: str, handle: bytes) -> bool:
    try:
        Ctap1(device).authenticate(bytes(32), sha256(app_id.encode()), handle, check_only=True)
    except ApduError as error:
        return bool(error.code == APDU.USE_NOT_SATISFIED)
    return True


def _account_name(user: Mapping[str, Any] | None) -> str:
    if not user:
        return "(no name)"
    return str(user.get("name") or user.get("displayName") or bytes(user["id"]).hex())


def _json(value: Any) -> Any:
    """Return the library's mappings as plain JSON values; their bytes are base64url already."""
    if isinstance(value, Mapping):
        return {str(key): _json(each) for key, each in value.items()}
    if isinstance(value, str):
        return str(value)
    if isinstance(value, Sequence):
        return [_json(each) for each in value]
    return value
