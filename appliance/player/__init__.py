"""asciinema-player, vendored (Apache-2.0): for the web pages and for the single-file offline player.

The files are byte for byte those published; `SHA256SUMS` says so and a test looks.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
SCRIPT: Final = "asciinema-player.min.js"
STYLE: Final = "asciinema-player.css"


def read(name: str) -> str:
    """Return a file of the player as text, byte for byte."""
    return (FOLDER / name).read_bytes().decode("utf-8")
