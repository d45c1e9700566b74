"""What the auth process does every few seconds besides answering: end, move on, remove."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.domain.errors import SallyportError

if TYPE_CHECKING:
    from threading import Event as Signal

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chore:
    """Something to do every `every` seconds."""

    name: str
    every: float
    do: Callable[[], object]


def keep_up(chores: tuple[Chore, ...], stop: Signal, *, step: float) -> None:
    """Do the chores until told to stop, each in its turn, a step of `step` seconds at a time.

    One that fails is logged and tried again: a full disk must not take the whole service down, which
    answers on its own that it can't record now.
    """
    passed = 0.0
    while not stop.wait(step):
        passed += step
        for chore in chores:
            if passed % chore.every < step:
                _do(chore)


def _do(chore: Chore) -> None:
    try:
        chore.do()
    except SallyportError as error:
        log.error("%s: %s", chore.name, error)  # noqa: TRY400 - expected; the trace would say no more
    except Exception:
        # The border of the loop: a fault of ours in one chore must not end the others, nor the service.
        log.exception("%s failed", chore.name)
