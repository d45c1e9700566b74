"""The Flask application: every operation of the table at `POST /v1/<operation>`."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from appliance.broker.callers import Person
from appliance.client.api import PROOF_HEADER, SESSION_HEADER
from appliance.domain import codec
from appliance.domain.errors import NotFound, ProofNeeded, SallyportError, Throttled, Unavailable
from appliance.domain.operations import OPERATIONS

if TYPE_CHECKING:
    from appliance.api.identify import Identify
    from appliance.broker.callers import Identity

Broker = Callable[[str, "Identity", object], object]
MAX_PROOF = 128
"""Characters of a challenge's id that are looked at."""
MAX_BODY = 4 << 20
"""Bytes of a request: a recording block of 1 MiB in base64 fits, four of them do not."""

log = logging.getLogger(__name__)


def create_app(broker: Broker, identify: Identify) -> Flask:
    """Return the WSGI application over one broker."""
    app = Flask(__name__, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY

    @app.post("/v1/<name>")
    def operation(name: str) -> Response:
        return _answer(broker, identify, name)

    app.register_error_handler(404, lambda _: _refusal(NotFound("there is no such address")))
    app.register_error_handler(405, lambda _: _refusal(NotFound("operations are called by POST")))
    app.register_error_handler(HTTPException, _not_http)
    app.register_error_handler(413, lambda _: _error_response(413, "invalid", f"over {MAX_BODY} bytes"))
    return app


def _answer(broker: Broker, identify: Identify, name: str) -> Response:
    try:
        body = _call(broker, identify, name)
    except SallyportError as error:
        return _refusal(error)
    except HTTPException:
        raise  # a body that is too long or broken off: answered by the handlers
    except Exception:
        # The border of the process: a fault of ours is told to the log in full and to the peer not at all.
        log.exception("operation %s failed", name)
        return _refusal(Unavailable("the auth service failed at this; its log says why"))
    return Response(body, content_type="application/json")


def _call(broker: Broker, identify: Identify, name: str) -> bytes:
    operation = OPERATIONS.get(name)
    if operation is None:
        raise NotFound(f"there is no operation {name[:64]!r}")
    identity = identify(request.environ, request.headers.get(SESSION_HEADER))
    if isinstance(identity, Person):
        identity = replace(identity, proof=request.headers.get(PROOF_HEADER, "")[:MAX_PROOF])
    value: Any = codec.loads(operation.request, request.get_data() or b"{}")
    return codec.dumps(broker(name, identity, value))


def _not_http(error: HTTPException) -> Response:
    return _error_response(error.code or 400, "invalid", error.name.lower())


def _refusal(error: SallyportError) -> Response:
    response = _error_response(error.status, error.code, str(error))
    if isinstance(error, ProofNeeded):
        response.set_data(
            codec.dumps({"error": error.code, "message": str(error), "challenge": error.challenge})
        )
    if isinstance(error, Throttled):
        document = {"error": error.code, "message": str(error), "retry_after": error.retry_after}
        response.set_data(codec.dumps(document))
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def _error_response(status: int, code: str, message: str) -> Response:
    body = codec.dumps({"error": code, "message": message})
    return Response(body, status=status, content_type="application/json")
