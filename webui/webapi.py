"""The door for tools: what anyone may know (row M4), and signing in before one holds a certificate.

    GET  /v1/webapi/ping, /v1/webapi/find   version, addresses, second factors
    POST /webapi/v1/<operation>             one of `RELAYED`, JSON in and out as the auth service has it

The relay adds one fact, the peer's address, and takes none on trust: what a caller wrote into `source` is
thrown away. No cookie has a meaning here.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, request
from werkzeug.exceptions import UnsupportedMediaType

from appliance.client import PinnedAuthority
from appliance.domain import codec
from appliance.domain.errors import NotFound, Throttled
from appliance.domain.operations import OPERATIONS
from webui.security import source
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

    from appliance.domain.operations.people import ClusterInfo

doors = Blueprint("webapi", __name__)

RELAYED = {
    "cluster.ping": False,
    "login.begin": True,
    "login.prove": True,
    "login.issue": True,
    "browser_logins.create": True,
    "browser_logins.collect": False,
}
"""The operations that need no signed-in person, and whether their request says where it came from."""


@doors.get("/v1/webapi/ping")
def ping() -> ResponseReturnValue:
    """Say who we are and how to sign in."""
    return _described(settings().cluster.now())


@doors.get("/v1/webapi/find")
def find() -> ResponseReturnValue:
    """Say the same to clients that look for the addresses only."""
    described = _described(settings().cluster.now())
    del described["auth"]
    return described


def _described(cluster: ClusterInfo) -> dict[str, Any]:
    """Return the field's usual shape, with what is ours beside it."""
    return {
        "auth": {
            "type": "local",
            "second_factors": list(cluster.second_factors),
            "webauthn": {"rp_id": cluster.rp_id},
        },
        "proxy": {
            "ssh": {"listen_addr": cluster.ssh_address, "public_addr": cluster.ssh_address},
            "web": {"public_addr": cluster.web_address},
            "api": {"public_addr": cluster.api_address},
        },
        "cluster_name": cluster.cluster,
        "server_version": cluster.server_version,
        "min_client_version": cluster.server_version,
        "tls_authority": {
            "certificate": base64.b64encode(cluster.tls_authority).decode("ascii"),
            "pin": PinnedAuthority.of(cluster.tls_authority).pin,
        },
        "host_authority": cluster.host_authority.splitlines(),
    }


@doors.post("/webapi/v1/<operation>")
def relay(operation: str) -> ResponseReturnValue:
    """Pass a call on."""
    if operation not in RELAYED:
        raise NotFound("there is no such operation here")
    if request.mimetype != "application/json":
        raise UnsupportedMediaType("send application/json")
    if wait := settings().calls.wait(source()):
        raise Throttled(wait)
    answer = settings().api.call(operation, _request(operation))
    return Response(codec.dumps(answer), mimetype="application/json")


def _request(operation: str) -> object:
    body = codec.parse_json(request.get_data())
    if RELAYED[operation] and isinstance(body, dict):
        body["source"] = source()
    parsed = codec.decode(OPERATIONS[operation].request, body)
    return replace(parsed, source=source()) if RELAYED[operation] else parsed
