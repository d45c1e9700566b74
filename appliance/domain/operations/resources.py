"""Resources: every kind as a document (mission row M2)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from appliance.domain.operations.operation import Caller, Operation

CONSOLE_OR_PERSON = frozenset({Caller.CONSOLE, Caller.PERSON})
MAX_TEXT = 256 * 1024
"""Characters of documents in one request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceNamed:
    """One resource by kind and name; with no name, all of the kind."""

    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceRemoval:
    """The resource to remove; with a revision, only if it still has that one."""

    kind: str
    name: str
    revision: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """YAML or JSON: one document, several, or a list of them.

    A `metadata.revision` in a document says which revision it was made from; it is refused when that
    is no longer the one in the store.
    """

    text: str
    replace: bool = False
    """Whether resources that exist may be replaced."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceView:
    """A resource as it is kept. `revision` 0 means that it was not changed since it came with the product."""

    kind: str
    name: str
    revision: int
    document: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceList:
    """Resources, by name."""

    resources: tuple[ResourceView, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChange:
    """What became, or would become, of one resource; a document is None where there is none."""

    kind: str
    name: str
    action: str
    """`created`, `updated`, `unchanged`, `deleted`."""
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceChanges:
    """What one transaction did, or would do, in the order of the documents."""

    changes: tuple[ResourceChange, ...]


TABLE: tuple[Operation[Any, Any], ...] = (
    Operation(
        name="resources.get",
        summary="Read resources as documents; the rule is looked up for the kind",
        request=ResourceNamed,
        response=ResourceList,
        callers=CONSOLE_OR_PERSON,
    ),
    Operation(
        name="resources.preview",
        summary="Check documents and say what applying them would change",
        request=Documents,
        response=ResourceChanges,
        callers=CONSOLE_OR_PERSON,
    ),
    Operation(
        name="resources.apply",
        summary="Create or replace resources from documents, all or none",
        request=Documents,
        response=ResourceChanges,
        callers=CONSOLE_OR_PERSON,
        admin=True,
    ),
    Operation(
        name="resources.delete",
        summary="Remove a resource",
        request=ResourceRemoval,
        response=ResourceChanges,
        callers=CONSOLE_OR_PERSON,
        admin=True,
    ),
)
