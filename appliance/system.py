"""The operating system's clock and randomness: the only place that asks for them."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from uuid import uuid4


class SystemClock:
    """The machine's clock, in UTC."""

    def now(self) -> datetime:
        """Return the current time."""
        return datetime.now(UTC)  # noqa: TID251 - this is the one place


class SystemRandomness:
    """The operating system's generator."""

    def bytes(self, count: int) -> bytes:
        """Return `count` unpredictable bytes."""
        return secrets.token_bytes(count)

    def uuid(self) -> str:
        """Return a random UUID (RFC 9562 version 4)."""
        return str(uuid4())
