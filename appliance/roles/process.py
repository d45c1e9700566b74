"""What every process of ours does first and last: read the configuration, say what is wrong, leave."""

from __future__ import annotations

import argparse
import logging
import os
import resource
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.config import Config, ConfigError, load
from appliance.domain.errors import SallyportError
from appliance.roles import logs, notify

if TYPE_CHECKING:
    from collections.abc import Callable

USAGE_ERROR = 2
FAILED = 1


def main(
    name: str,
    run: Callable[[Config, argparse.Namespace], None],
    *,
    expected: tuple[type[Exception], ...] = (),
) -> None:
    """Run one role to its end; anything expected that goes wrong is one sentence and a non-zero status.

    `expected` are further errors whose message is that sentence.
    """
    arguments = _arguments(name)
    told: tuple[type[Exception], ...] = (SallyportError, *expected)
    _close_up()
    try:
        config = load(arguments.config, dict(arguments.set))
        logs.set_up(config.sallyport.log, name)
        run(config, arguments)
    except ConfigError as error:
        _leave(str(error), USAGE_ERROR)
    except told as error:
        _leave(f"{name}: {error}", FAILED)
    except OSError as error:
        place = f"{error.filename}: " if error.filename else ""
        _leave(f"{name}: {place}{error.strerror or error}", FAILED)
    logging.shutdown()


def _arguments(name: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=f"sallyport {name}")
    parser.add_argument("--config", type=Path, default=Path("/etc/sallyport.yaml"))
    parser.add_argument("--set", type=_setting, action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--accept-clock", action="store_true")
    return parser.parse_args()


def _setting(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator:
        raise argparse.ArgumentTypeError("expected KEY=VALUE")
    return key, value


def _close_up() -> None:
    """Files are for their owner only, and a crash leaves no core with keys in it (M10, O04)."""
    os.umask(0o077)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _leave(reason: str, status: int) -> None:
    notify.failed(reason)
    sys.stderr.write(f"{reason}\n")
    sys.exit(status)
