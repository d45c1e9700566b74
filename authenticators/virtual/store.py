"""Where a key's state lives: in memory, or in a key file that only its owner can read."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from authenticators.virtual.codec import from_json, to_json
from authenticators.virtual.errors import KeyFileError
from authenticators.virtual.state import KeyState

FORMAT: Final = "sallyport-virtual-key/1"


class StateStore(Protocol):
    """Keeps one `KeyState`."""

    def load(self) -> KeyState:
        """Return the state; raises `KeyFileError`."""

    def save(self, state: KeyState) -> None:
        """Keep the state, whole or not at all."""


@dataclass(slots=True)
class MemoryStore:
    """Forgets when the process ends."""

    state: KeyState

    def load(self) -> KeyState:
        """Return the state."""
        return self.state

    def save(self, state: KeyState) -> None:
        """Keep the state."""
        self.state = state


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A JSON file with mode 0600, replaced atomically."""

    path: Path

    def load(self) -> KeyState:
        """Return the state; raises `KeyFileError`."""
        try:
            if self.path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise KeyFileError(f"{self.path}: others can read it; chmod 600 it")
            document = json.loads(self.path.read_bytes())
        except (OSError, ValueError) as error:
            raise KeyFileError(f"{self.path}: {error}") from error
        if not isinstance(document, dict) or document.get("format") != FORMAT:
            raise KeyFileError(f"{self.path}: not a {FORMAT} file")
        return from_json(KeyState, document.get("key"))

    def save(self, state: KeyState) -> None:
        """Write a new file beside the old one and put it in its place."""
        text = json.dumps({"format": FORMAT, "key": to_json(state)}, indent=1) + "\n"
        beside = self.path.with_name(f"{self.path.name}.{os.getpid()}.new")
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as stream:  # noqa: PTH123 - the mode has to hold from the first byte
            stream.write(text)
        beside.replace(self.path)

    def create(self, state: KeyState) -> None:
        """Write the file of a new key; raises `KeyFileError` when there is one already."""
        if self.path.exists():
            raise KeyFileError(f"{self.path}: exists already")
        self.save(state)
