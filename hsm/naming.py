"""Which keys on a token are ours, and what they are called.

A token may be shared with other software, so every key of a cluster has a label in that cluster's
own range, `sallyport:<cluster>:<role>:<generation>`, and an id derived from it. Providers never
touch an object outside of the range, and never one inside of it that they do not know.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

from hsm.errors import NotOurs

_CLUSTER = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?")
_ROLE = re.compile(r"[a-z][a-z0-9-]{0,15}")
MAX_GENERATION = 999_999


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyName:
    """A key's place inside the range: what it is for, and which rotation made it (from 1)."""

    role: str
    generation: int

    def __post_init__(self) -> None:
        if not _ROLE.fullmatch(self.role) or not 1 <= self.generation <= MAX_GENERATION:
            raise NotOurs(f"no key name: {self.role!r}, generation {self.generation}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Namespace:
    """The range of labels and ids that belongs to one cluster."""

    cluster: str

    def __post_init__(self) -> None:
        if not _CLUSTER.fullmatch(self.cluster):
            raise NotOurs(f"no cluster name: {self.cluster!r}")

    @property
    def prefix(self) -> str:
        """What every label of the range begins with."""
        return f"sallyport:{self.cluster}:"

    def label(self, name: KeyName) -> str:
        """Return the label of a key."""
        return f"{self.prefix}{name.role}:{name.generation}"

    def parse(self, label: str) -> KeyName:
        """Return the name behind a label; raises `NotOurs` for one outside of the range."""
        role, _, generation = label.removeprefix(self.prefix).partition(":")
        if not self.owns(label):
            raise NotOurs(f"label {label!r} is not in the range {self.prefix}*")
        return KeyName(role=role, generation=int(generation))

    def owns(self, label: str) -> bool:
        """Whether the label is a well-formed one of this range."""
        if not label.startswith(self.prefix):
            return False
        role, _, generation = label[len(self.prefix) :].partition(":")
        return bool(_ROLE.fullmatch(role) and re.fullmatch(r"[1-9][0-9]{0,5}", generation))

    def require(self, label: str) -> str:
        """Return the label, or raise `NotOurs`."""
        self.parse(label)
        return label

    def key_id(self, label: str, size: int = 16) -> bytes:
        """Return the object id of a label: `size` bytes of SHA-256, the same on every token."""
        return hashlib.sha256(self.require(label).encode()).digest()[:size]
