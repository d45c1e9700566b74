"""A recording as one HTML file that plays anywhere, without a network and without this product.

The file holds the player (`appliance.player`), its style sheet, and the asciicast as JSON in a
data block. Whatever the session contained, it can't become markup or code: in the data block `<`, `>`, `&`
and all beyond ASCII stand as JSON escapes, the title is escaped, and the page's own policy lets
exactly the two scripts run whose hashes it names, and nothing be loaded from anywhere.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from typing import TYPE_CHECKING

from appliance import player
from appliance.recording.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_START = """
"use strict";
AsciinemaPlayer.create(
  { data: JSON.parse(document.getElementById("cast").textContent) },
  document.getElementById("player"),
  { fit: "both", controls: true, idleTimeLimit: 5, preload: true }
);
"""
_STYLE = """
html, body { margin: 0; height: 100%; background: #121314; color: #ddd; font: 14px sans-serif; }
body { display: flex; flex-direction: column; }
h1 { font-size: 1em; font-weight: normal; margin: 0.6em 1em; overflow-wrap: anywhere; }
main { flex: 1; min-height: 0; }
"""
_FORBIDDEN_IN_SCRIPT = ("</script", "<!--", "\r", "\0")


def page(cast: Iterable[str], *, title: str) -> Iterator[str]:
    """Yield the page in parts, to be joined or written as UTF-8; `cast` are the lines of `asciicast.export`.

    The parts are made as the lines come, so memory does not grow with the recording.
    """
    program, style = player.read(player.SCRIPT), player.read(player.STYLE) + _STYLE
    if any(mark in script for script in (program, _START) for mark in _FORBIDDEN_IN_SCRIPT):
        raise FormatError("the vendored player can't stand in a page as it is")
    name = html.escape(title)
    yield "<!DOCTYPE html>\n"
    yield f'<html lang="en"><head><meta charset="utf-8">\n{_policy(program, style)}\n'
    yield f"<title>{name}</title>\n<style>{style}</style></head>\n"
    yield f'<body><h1>{name}</h1><main id="player"></main>\n'
    yield '<script type="application/json" id="cast">'
    yield from _data_block(cast)
    yield f"</script>\n<script>{program}</script>\n<script>{_START}</script>\n</body></html>\n"


def _policy(program: str, style: str) -> str:
    scripts = " ".join(_source(script) for script in (program, _START))
    rules = (
        "default-src 'none'",
        f"script-src {scripts} 'wasm-unsafe-eval'",
        f"style-src {_source(style)}",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return f'<meta http-equiv="Content-Security-Policy" content="{"; ".join(rules)}">'


def _source(text: str) -> str:
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
    return f"'sha256-{digest}'"


def _data_block(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines as one JSON string in which no character means anything to HTML."""
    yield '"'
    for line in lines:
        yield json.dumps(line)[1:-1].translate(_HARMLESS)
    yield '"'


_HARMLESS = {ord(char): f"\\u{ord(char):04x}" for char in "<>&'"}
