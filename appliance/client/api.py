"""One call: encode the request, send it, decode the response or raise the error it names."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from appliance.client.transport import Transport
from appliance.domain import codec
from appliance.domain.errors import ERRORS, Denied, ProofNeeded, SallyportError, Throttled, Unavailable
from appliance.domain.operations import OPERATIONS

SESSION_HEADER = "Sallyport-Session"
PROOF_HEADER = "Sallyport-Proof"
MAX_RETRY_AFTER = 86400


@dataclass(frozen=True, slots=True)
class Api:
    """The auth service's operations. Thread-safe; one connection pool per transport."""

    transport: Transport
    proof: str | None = None
    """The challenge that was met for the next call."""
    web_session: str | None = None
    """The web session a call is made for (only the `web` service may name one)."""

    def for_web_session(self, token: str) -> Api:
        """Return a view of this client that acts as the person of that browser session."""
        return replace(self, web_session=token)

    def with_proof(self, challenge: str) -> Api:
        """Return a view of this client that sends a met challenge along."""
        return replace(self, proof=challenge)

    def call(self, name: str, request: object) -> Any:
        """Do the operation `name`; returns its response value.

        Raises the `SallyportError` the service answered with, `Unavailable` when it can't be reached.
        """
        operation = OPERATIONS[name]
        if not isinstance(request, operation.request):
            raise TypeError(f"{name} takes {operation.request.__name__}, not {type(request).__name__}")
        given = {SESSION_HEADER: self.web_session, PROOF_HEADER: self.proof}
        headers = {header: value for header, value in given.items() if value}
        status, body = self.transport.post(f"/v1/{name}", codec.dumps(request), headers)
        if status == 200:  # noqa: PLR2004 - HTTP OK
            return codec.loads(operation.response, body, lenient=True)
        raise _error(status, body)

    def close(self) -> None:
        """Close the connections."""
        self.transport.close()


def _error(status: int, body: bytes) -> SallyportError:
    try:
        document = codec.parse_json(body)
    except SallyportError:
        document = None
    if not isinstance(document, dict):
        return Unavailable(f"the auth service answered with HTTP status {status}")
    code, message = str(document.get("error", "")), str(document.get("message", ""))
    if code == Throttled.code:
        wait = document.get("retry_after", 1)
        return Throttled(min(wait, MAX_RETRY_AFTER) if isinstance(wait, int) else 1)
    if code == ProofNeeded.code:
        return ProofNeeded(str(document.get("challenge", "")))
    if code == Denied.code:
        return Denied(message, message=message)
    return ERRORS.get(code, SallyportError)(message or f"the auth service answered with HTTP status {status}")
