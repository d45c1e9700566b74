"""A client that is far away."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.frame import BenchError

if TYPE_CHECKING:
    from collections.abc import Iterator

LINE = Path(__file__).with_name("far_line.py")


@contextmanager
def delayed(port: int, round_trip: float) -> Iterator[int]:
    """Yield a port that is the given one, some seconds away."""
    command = [sys.executable, str(LINE), str(port), str(round_trip)]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        try:
            line = process.stdout.readline() if process.stdout else b""
            if not line:
                raise BenchError("the delay line did not start")
            yield int(line)
        finally:
            process.terminate()
