"""A clock that stands still until a test moves it."""

from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 1, 12, 0, 0, 123457, tzinfo=UTC)


class HandClock:
    def __init__(self, time=START):
        self.time = time

    def now(self):
        return self.time

    def forward(self, **parts):
        self.time += timedelta(**parts)
