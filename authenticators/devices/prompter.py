"""What a person is told and asked while a key is used."""

from __future__ import annotations

import getpass
import sys
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from collections.abc import Sequence


class Prompter(Protocol):
    """Talks to the person. Calls may come from another thread than the one that began the ceremony."""

    def insert(self) -> None:
        """Say: there is no key here, plug one in or hold it to the reader."""

    def choose(self, keys: Sequence[str]) -> None:
        """Say: several keys are here, touch the one to use."""

    def touch(self, key: str) -> None:
        """Say: touch the key."""

    def verify(self, key: str) -> None:
        """Say: the key wants to know who touches it, by finger."""

    def pin(self, key: str, *, tries_left: int | None, wrong: bool) -> str | None:
        """Ask for the key's PIN; None gives up. `wrong` says that the one before was."""

    def account(self, names: Sequence[str]) -> int | None:
        """Ask which account to use, by index; None gives up."""


class TerminalPrompter:
    """Prompts on a terminal: text to stderr, so that stdout stays clean, PINs without echo."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stderr

    def insert(self) -> None:
        """Say it in one line."""
        self._say("No security key found. Plug one in, or hold it to the reader.")

    def choose(self, keys: Sequence[str]) -> None:
        """Name the keys in one line."""
        self._say(
            f"{len(keys)} security keys found ({', '.join(map(printable, keys))}). Touch the one to use."
        )

    def touch(self, key: str) -> None:
        """Say it in one line."""
        self._say(f"Touch the key ({printable(key)}).")

    def verify(self, key: str) -> None:
        """Say it in one line."""
        self._say(f"Verify yourself on the key ({printable(key)}): its fingerprint sensor is waiting.")

    def pin(self, key: str, *, tries_left: int | None, wrong: bool) -> str | None:
        """Ask without echo; an empty line gives up."""
        told = "Wrong PIN. " if wrong else ""
        tries = "" if tries_left is None else f", {tries_left} {'try' if tries_left == 1 else 'tries'} left"
        return getpass.getpass(f"{told}PIN of the key ({printable(key)}{tries}): ", self._stream) or None

    def account(self, names: Sequence[str]) -> int | None:
        """Number the accounts and read a number; anything else gives up."""
        for number, name in enumerate(names, 1):
            self._say(f"  {number}. {printable(name)}")
        self._stream.write("Account number: ")
        self._stream.flush()
        answer = sys.stdin.readline().strip()
        chosen = int(answer) - 1 if answer.isascii() and answer.isdecimal() else -1
        return chosen if 0 <= chosen < len(names) else None

    def _say(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def printable(text: str) -> str:
    """Return the text without anything a terminal would obey: names come from devices and servers."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)
