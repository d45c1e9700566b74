"""What a scenario expects, said so that a failure can be read in the report."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class ExpectationError(Exception):
    """Something was otherwise than the scenario says."""


def expect(fact: object, sentence: str) -> None:
    """Raise `ExpectationError` unless the fact is true."""
    if not fact:
        raise ExpectationError(f"expected: {sentence}")


@contextmanager
def refused(
    kind: type[Exception] | tuple[type[Exception], ...], why: Callable[[Any], bool], sentence: str
) -> Iterator[None]:
    """Expect the block to be refused with such an error for such a reason."""
    try:
        yield
    except kind as error:
        if not why(error):
            raise ExpectationError(f"expected: {sentence}; refused by {error!r}") from error
    else:
        raise ExpectationError(f"expected: {sentence}; it was accepted")


def status_of(error: BaseException) -> str:
    """Return the name of the CTAP status behind a client's error."""
    cause = getattr(error, "cause", None) or error
    code = getattr(cause, "code", None)
    return getattr(code, "name", str(code))
