"""Who may ask, and what a page may do in the browser.

Every answer carries the strictest headers its page can live with. A page that needs more says so with
`allow(...)`; nothing is loosened for all pages because one needs it.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from flask import g, redirect, request
from werkzeug.exceptions import MisdirectedRequest, UnsupportedMediaType

from appliance.front.sources import plain_address
from webui.settings import settings

if TYPE_CHECKING:
    from flask import Flask, Response
    from werkzeug.wrappers import Response as AnyResponse

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
TOOL_PATHS = ("/webapi/", "/v1/webapi/")
FORM_TYPES = frozenset({"application/x-www-form-urlencoded", "application/json"})
ONE_YEAR = 31536000
UNKNOWN = "::"

HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": (
        "publickey-credentials-create=(self), publickey-credentials-get=(self), clipboard-write=(self), "
        "camera=(), microphone=(), geolocation=(), usb=(), hid=(), serial=(), payment=(), display-capture=()"
    ),
    # not `no-referrer`, which would make browsers send `Origin: null` with our own forms; the path of a
    # page (a sign-up link is one) is never told to anybody
    "Referrer-Policy": "strict-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

POLICY = {
    "default-src": "'none'",
    "base-uri": "'none'",
    "form-action": "'self'",
    "frame-ancestors": "'none'",
    "img-src": "'self'",
    "style-src": "'self'",
    "require-trusted-types-for": "'script'",
    "trusted-types": "'none'",
}


def nonce() -> str:
    """Return this answer's nonce: only scripts that carry it run."""
    if "nonce" not in g:
        g.nonce = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
    return str(g.nonce)


def allow(**directives: str | None) -> None:
    """Change directives of this page's policy: `allow(connect_src="'self'")`; `None` takes one away."""
    g.setdefault("allowed", {}).update({name.replace("_", "-"): value for name, value in directives.items()})


def allow_wasm() -> None:
    """Let this page's scripts compile WebAssembly, and nothing else that `eval` would."""
    g.script_extra = " 'wasm-unsafe-eval'"


def _policy() -> str:
    script = {"script-src": f"'nonce-{nonce()}'{g.get('script_extra', '')}"} if "nonce" in g else {}
    merged: dict[str, str | None] = POLICY | script | g.get("allowed", {})
    return "; ".join(f"{name} {value}" for name, value in merged.items() if value is not None)


def is_tool_path() -> bool:
    """Whether the request is for the doors of tools, where cookies mean nothing."""
    return request.path.startswith(TOOL_PATHS)


def source() -> str:
    """Return the peer's IP address, as the kernel says; no header can change it."""
    return plain_address(request.remote_addr or UNKNOWN)


def check_host() -> AnyResponse | None:
    """Answer pages under our own names only (DNS rebinding); point others to the right one."""
    config = settings().config
    if is_tool_path() or request.host.lower() in config.hosts:
        return None
    if request.method in SAFE_METHODS:
        return redirect(f"{config.url}{request.full_path.rstrip('?')}", 307)
    raise MisdirectedRequest(f"This service is known as {config.url}.")


def check_type() -> None:
    """Take forms and JSON only: no multipart, no compressed bodies (threat W11)."""
    if request.method in SAFE_METHODS:
        return
    if request.mimetype not in FORM_TYPES or request.headers.get("Content-Encoding"):
        raise UnsupportedMediaType("Send a form or JSON, not compressed.")


def set_headers(response: Response) -> Response:
    """Put the headers on an answer; what a view has set itself stays."""
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    if not settings().config.is_local:
        response.headers["Strict-Transport-Security"] = f"max-age={ONE_YEAR}"
    response.headers.setdefault("Content-Security-Policy", _policy())
    return response


def install(app: Flask) -> None:
    """Make every request pass here first, and every answer last."""
    app.before_request(check_host)
    app.before_request(check_type)
    app.after_request(set_headers)
    app.jinja_env.globals["csp_nonce"] = nonce
