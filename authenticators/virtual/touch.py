"""How the wait for a person's touch can end."""

from __future__ import annotations

from enum import Enum, auto


class Touch(Enum):
    """The four ends."""

    GIVEN = auto()
    REFUSED = auto()
    TIMED_OUT = auto()
    CANCELLED = auto()
