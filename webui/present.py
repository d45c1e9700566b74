r"""Escaping and formatting, at the sink: whatever reaches a page passes here and through autoescape.

Text that came from people, hosts and logs may hold characters that move, hide or reorder what stands
beside them (controls, bidirectional overrides, zero-width). They are shown as `\u{202e}`, never obeyed.
"""

from __future__ import annotations

import io
import json
import unicodedata
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import segno
from markupsafe import Markup

if TYPE_CHECKING:
    from flask import Flask

PLAIN_BLANKS = frozenset("\n\t")
HIDING = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})
KIB = 1024


def shown(value: object) -> object:
    """Return text with hiding characters spelled out; anything else, and our own markup, as it is."""
    if not isinstance(value, str) or isinstance(value, Markup) or (value.isascii() and value.isprintable()):
        return value
    return "".join(_shown(char) for char in value)


def _shown(char: str) -> str:
    if char not in PLAIN_BLANKS and unicodedata.category(char) in HIDING:
        return f"\\u{{{ord(char):x}}}"
    return char


def moment(value: datetime | str | None) -> Markup:
    """Return a time element: UTC as text, which a script turns into the reader's own time."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return Markup.escape(str(shown(value)))
    if value is None:
        return Markup('<span class="quiet">&ndash;</span>')
    stamp = value.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        stamp.strftime("%Y-%m-%dT%H:%M:%SZ"), stamp.strftime("%-d %b %Y, %H:%M UTC")
    )


def duration(seconds: float) -> str:
    """Return a length of time in words: `23 hours`, `1 minute`."""
    whole = max(0, int(seconds))
    for size, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if whole >= size and (whole % size == 0 or whole >= 2 * size):
            count = round(whole / size)
            return f"{count} {name}" + ("" if count == 1 else "s")
    return "0 seconds"


def size(count: int) -> str:
    """Return a size in bytes, KiB or MiB."""
    if count < KIB:
        return f"{count} B"
    if count < KIB * KIB:
        return f"{count / KIB:.1f} KiB"
    return f"{count / KIB / KIB:.1f} MiB"


def pretty(value: Any) -> str:
    """Return JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=True, default=str)


def qr(text: str) -> Markup:
    """Return a QR code as inline SVG, dark on white whatever the page's colours are."""
    out = io.BytesIO()
    segno.make(text, error="m", micro=False).save(
        out, kind="svg", xmldecl=False, svgns=False, omitsize=True, border=3, light="#fff", dark="#111",
        svgclass="qr", lineclass=None, title="QR code for your authenticator app",
    )  # fmt: skip
    return Markup(out.getvalue().decode("utf-8"))  # noqa: S704 - made here, of numbers and our own title


def install(app: Flask) -> None:
    """Put the sinks into the templates' environment."""
    app.jinja_env.finalize = shown
    app.jinja_env.filters.update(moment=moment, duration=duration, size=size, pretty=pretty, qr=qr)
