"""How to trust the appliance's own authority, before and after a browser complains.

Browsers refuse WebAuthn on a page with a certificate error, so that a person has to get past this once.
"""

from __future__ import annotations

import hashlib
import ssl
from typing import TYPE_CHECKING

from flask import Blueprint, Response, redirect, render_template, url_for

from appliance.client import PinnedAuthority
from webui.settings import settings

if TYPE_CHECKING:
    from flask.typing import ResponseReturnValue

pages = Blueprint("trust", __name__)
PEM_TYPE = "application/x-pem-file"


@pages.get("/")
def root() -> ResponseReturnValue:
    """Go to the first page."""
    return redirect(url_for("nodes.home"), 303)


@pages.get("/web/trust")
def show() -> ResponseReturnValue:
    """Explain it, with the fingerprints to compare."""
    cluster = settings().cluster.now()
    return render_template(
        "trust.html",
        cluster=cluster,
        fingerprint=_colons(hashlib.sha256(cluster.tls_authority).hexdigest()),
        pin=PinnedAuthority.of(cluster.tls_authority).pin,
        url=settings().config.url,
    )


def _colons(digest: str) -> str:
    return ":".join(digest[i : i + 2].upper() for i in range(0, len(digest), 2))


@pages.get("/web/ca.pem")
def authority() -> ResponseReturnValue:
    """Send the authority's certificate, PEM."""
    pem = ssl.DER_cert_to_PEM_cert(settings().cluster.now().tls_authority)
    name = f"{settings().cluster.now().cluster}-ca.pem"
    return Response(pem, mimetype=PEM_TYPE, headers={"Content-Disposition": f'attachment; filename="{name}"'})


@pages.get("/web/ca.der")
def authority_der() -> ResponseReturnValue:
    """Send it as DER, the form that telephones and some browsers offer to install."""
    return Response(settings().cluster.now().tls_authority, mimetype="application/x-x509-ca-cert")


@pages.get("/web/known_hosts")
def known_hosts() -> ResponseReturnValue:
    """Send the host authority in the form of OpenSSH's known_hosts."""
    return Response(settings().cluster.now().host_authority, mimetype="text/plain")
