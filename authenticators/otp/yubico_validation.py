"""A client of a Yubico validation server (protocol 2.0), for keys whose AES secret only the server has.

The answer is believed only if its HMAC is right and it repeats our nonce and our OTP. The transport is
handed in (any function from URL to text): TLS, its roots and time-outs belong to whoever makes connections.
`httpx_transport` makes one of an httpx2 client, which is never told to skip the verification of
certificates.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit

from authenticators.errors import OtpError, OtpErrorCode
from authenticators.otp.yubico_otp import Counters, split_otp
from authenticators.secret import Secret

if TYPE_CHECKING:
    import httpx2

Transport = Callable[[str], str]
"""Fetches a URL and returns the body; raises OSError when it cannot, also for a bad certificate."""

_NONCE_BYTES: Final = 16
_STALE: Final = timedelta(minutes=10)
_LONGEST_ANSWER: Final = 4096
_REPLAYED: Final = frozenset({"REPLAYED_OTP", "REPLAYED_REQUEST"})

_Code = OtpErrorCode


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationServer:
    """One server: its `verify` URL (https), our client id there, and the API key it signs with."""

    url: str
    client_id: str
    api_key: Secret
    transport: Transport
    entropy: Callable[[int], bytes]

    def __post_init__(self) -> None:
        if urlsplit(self.url).scheme != "https" or not self.client_id or not len(self.api_key):
            raise OtpError(
                _Code.BAD_PARAMETER, "a validation server has an https URL, a client id and an API key"
            )

    def verify(self, typed: str, *, now: datetime) -> Counters:
        """Return the counters of the code, which the server has burnt.

        Raises `OtpError`: WRONG_LENGTH, NOT_MODHEX, SERVER_UNREACHABLE, SERVER_ANSWER_MALFORMED,
        SERVER_SIGNATURE_WRONG, SERVER_NONCE_MISMATCH, SERVER_OTP_MISMATCH, SERVER_ANSWER_STALE, ALREADY_USED,
        SERVER_REFUSED.
        """
        split_otp(typed)
        otp, nonce = typed.strip().lower(), self.entropy(_NONCE_BYTES).hex()
        answer = _parse(self._ask(otp, nonce))
        self._check(answer, otp, nonce, now)
        return _counters(answer)

    def _ask(self, otp: str, nonce: str) -> str:
        request = {"id": self.client_id, "nonce": nonce, "otp": otp, "timestamp": "1"}
        request["h"] = sign(request, self.api_key)
        try:
            return self.transport(f"{self.url}?{urlencode(request)}")
        except OSError as error:
            raise OtpError(_Code.SERVER_UNREACHABLE) from error

    def _check(self, answer: Mapping[str, str], otp: str, nonce: str, now: datetime) -> None:
        unsigned = {name: value for name, value in answer.items() if name != "h"}
        if not hmac.compare_digest(sign(unsigned, self.api_key).encode(), answer.get("h", "").encode()):
            raise OtpError(_Code.SERVER_SIGNATURE_WRONG)
        status = answer.get("status", "")
        # A server that cannot even read the request answers without nonce and OTP; there is nothing to
        # compare then.
        if status == "OK" or "nonce" in answer:
            _compare(answer.get("nonce"), nonce, _Code.SERVER_NONCE_MISMATCH)
            _compare(answer.get("otp"), otp, _Code.SERVER_OTP_MISMATCH)
        if abs(now - _time(answer.get("t", ""))) > _STALE:
            raise OtpError(_Code.SERVER_ANSWER_STALE)
        if status in _REPLAYED:
            raise OtpError(_Code.ALREADY_USED)
        if status != "OK":
            raise OtpError(_Code.SERVER_REFUSED, status)


def sign(members: Mapping[str, str], api_key: Secret) -> str:
    """Return the base64 HMAC-SHA1 over the members in order of their names (protocol 2.0, "Signing")."""
    message = "&".join(f"{name}={members[name]}" for name in sorted(members))
    return base64.b64encode(hmac.digest(api_key.reveal(), message.encode(), hashlib.sha1)).decode()


def read_api_key(text: str) -> Secret:
    """Return the API key that a server handed out in base64; raises `OtpError` with BAD_PARAMETER."""
    try:
        return Secret(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError) as error:
        raise OtpError(_Code.BAD_PARAMETER) from error


def httpx_transport(client: httpx2.Client) -> Transport:
    """Return a transport over an httpx2 client, made with roots, a time-out and `trust_env=False`."""
    from httpx2 import HTTPError  # noqa: PLC0415 -- optional for this library, loaded where it is used

    def fetch(url: str) -> str:
        try:
            answer = client.get(url, follow_redirects=False)
            answer.raise_for_status()
        except HTTPError as error:
            message = "the validation server did not answer"
            raise OSError(message) from error
        return str(answer.text)

    return fetch


def _parse(text: str) -> dict[str, str]:
    if len(text) > _LONGEST_ANSWER:
        raise OtpError(_Code.SERVER_ANSWER_MALFORMED)
    answer = dict[str, str]()
    for line in filter(None, map(str.strip, text.splitlines())):
        name, separator, value = line.partition("=")
        if not separator or name in answer:
            raise OtpError(_Code.SERVER_ANSWER_MALFORMED)
        answer[name] = value
    if "status" not in answer:
        raise OtpError(_Code.SERVER_ANSWER_MALFORMED)
    return answer


def _compare(received: str | None, sent: str, code: OtpErrorCode) -> None:
    if not hmac.compare_digest((received or "").encode(), sent.encode()):
        raise OtpError(code)


def _time(text: str) -> datetime:
    """Read `2026-11-20T12:00:00Z0123`: seconds in UTC, then milliseconds."""
    try:
        return datetime.strptime(text.partition("Z")[0], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        raise OtpError(_Code.SERVER_ANSWER_MALFORMED) from error


def _counters(answer: Mapping[str, str]) -> Counters:
    try:
        return Counters(
            use=int(answer["sessioncounter"]),  # the server's words: its session is the key's use counter
            session=int(answer["sessionuse"]),
            timestamp=int(answer["timestamp"]),
        )
    except (KeyError, ValueError) as error:
        raise OtpError(_Code.SERVER_ANSWER_MALFORMED) from error
