"""How the demo shows a step: what is done, the command as typed, what came out, what had to hold."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f]")
"""What a shell tells its terminal, not its reader."""
MOST_LINES = 14
WIDTH = 132


class StepFailed(Exception):  # noqa: N818 - it reads as what happened
    """Something that had to hold did not."""


@dataclass(slots=True)
class Stage:
    """Prints; `hidden` maps long texts of this run (folders) to what a person would see in their place."""

    hidden: Mapping[str, str]
    colour: bool = field(default_factory=sys.stdout.isatty)
    begun: float = field(default_factory=time.monotonic)
    claims: int = 0

    def step(self, title: str) -> None:
        """Begin a step."""
        self._print(f"\n{self._tint('1', title)}  [{time.monotonic() - self.begun:.0f} s]")

    def tell(self, text: str) -> None:
        """Say what happens where there is no command to show."""
        self._print(f"  {text}")

    def command(self, text: str) -> None:
        """Show a command."""
        self._print(f"  {self._tint('36', '$ ' + text)}")

    def output(self, text: str) -> None:
        """Show what came out; the middle of long outputs is left out."""
        lines = [line.rstrip() for line in CONTROL.sub("", text).splitlines() if line.strip()]
        if len(lines) > MOST_LINES:
            half = MOST_LINES // 2
            lines = [*lines[:half], f"… {len(lines) - 2 * half} more lines …", *lines[-half:]]
        for line in lines:
            self._print(f"    {line}")

    def holds(self, claim: str, held: object, shown: object = "") -> None:
        """Show a claim that was looked into; raises `StepFailed` when it is not so."""
        if not held:
            raise StepFailed(f"{claim}\n{shown}")
        self.claims += 1
        self._print(f"  {self._tint('32', '✓')} {claim}")

    def _print(self, text: str) -> None:
        for long, short in self.hidden.items():
            text = text.replace(long, short)
        lines = [line if len(line) <= WIDTH else line[: WIDTH - 1] + "…" for line in text.split("\n")]
        print("\n".join(lines), flush=True)

    def _tint(self, code: str, text: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text
