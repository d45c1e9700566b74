"""One row of the table of operations."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

Request = TypeVar("Request")
Response = TypeVar("Response")


class Caller(StrEnum):
    """Who can be at the other end. Services are known by the socket and uid they come from."""

    CONSOLE = "console"
    """The box's own administrator: root, or the account that runs the appliance."""
    PERSON = "person"
    """A person: by client certificate on 3025, or by their web session through `web`."""
    PROXY = "proxy"
    WEB = "web"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a person's roles must allow: a verb on a kind of resource."""

    resource: str
    verb: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation(Generic[Request, Response]):
    """A request type, a response type, and the narrowest permission to call.

    `rule` is asked of persons only; `None` means any signed-in person, about what is their own.
    `admin` marks an administrative action (mission row M1).
    """

    name: str
    summary: str
    request: type[Request]
    response: Any
    callers: frozenset[Caller]
    rule: Rule | None = None
    admin: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Nothing:
    """No content."""
