"""What stock sshd machines fetch to stay in step: trust, host certificate, revocations. All of it is public.

GET /v1/webapi/nodes/<name>/user-ca.pub    for TrustedUserCAKeys
GET /v1/webapi/nodes/<name>/host-cert.pub  for HostCertificate
GET /v1/webapi/nodes/<name>/krl            for RevokedKeys
GET /v1/webapi/nodes/<name>/ca.pem         what the next fetch is to trust
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

from flask import Blueprint, Response

from appliance.domain.errors import NotFound
from appliance.domain.operations import nodes
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

doors = Blueprint("node_files", __name__)


@doors.get("/v1/webapi/nodes/<name>/<file>")
def fetch(name: str, file: str) -> ResponseReturnValue:
    """Send one of the files."""
    bundle: nodes.NodeBundle = settings().api.call("nodes.bundle", nodes.NodeNamed(name=name))
    files = {
        "user-ca.pub": bundle.trusted_user_ca_keys.encode(),
        "host-cert.pub": bundle.host_certificate.encode(),
        "krl": bundle.krl,
        "ca.pem": "".join(map(ssl.DER_cert_to_PEM_cert, bundle.tls_authorities)).encode(),
    }
    if file not in files:
        raise NotFound(f"there is no such file: expected {', '.join(files)}")
    return Response(files[file], mimetype="application/octet-stream")
