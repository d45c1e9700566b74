"""Resources: read, previewed, applied all or none, removed (mission row M2).

Everything is checked before anything is recorded, everything is recorded before anything is written,
and what is written is one transaction that fails whole when somebody was faster.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING

from appliance.broker.callers import Identity, Person
from appliance.broker.documents import Written, read_documents
from appliance.broker.kinds import Kind, Plan, Removable, Resource, Writable
from appliance.broker.ports import Clock, Trail
from appliance.broker.roles import Roles
from appliance.broker.state import State
from appliance.domain.document import DocumentError, Reader
from appliance.domain.errors import Conflict, Exists, Invalid, NotFound, SallyportError
from appliance.domain.events import Event
from appliance.domain.operations import Rule, resources

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.store.backend import Operation

INSTEAD = {"node": "nodes are added by `sallyctl nodes add`, which proves their host key"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One document's part of a transaction."""

    kind: str
    before: Resource | None
    plan: Plan

    @property
    def action(self) -> str:
        """What becomes of the resource, in one word."""
        if self.plan.after is None:
            return "deleted"
        if self.before is None:
            return "created"
        same = _without_revision(self.before.document) == self.plan.after
        return "unchanged" if same and self.before.revision else "updated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The documents of every kind; `kinds` is the registry, made by the composition root."""

    state: State
    roles: Roles
    kinds: Mapping[str, Kind]
    trail: Trail
    clock: Clock

    def get(self, identity: Identity, request: resources.ResourceNamed) -> resources.ResourceList:
        """Return one resource, or all of a kind."""
        kind = self._kind(request.kind)
        self._require(identity, kind.name, "read" if request.name else "list")
        if not request.name:
            return resources.ResourceList(resources=tuple(_view(kind, one) for one in kind.all()))
        return resources.ResourceList(resources=(_view(kind, self._found(kind, request.name)),))

    def preview(self, identity: Identity, request: resources.Documents) -> resources.ResourceChanges:
        """Return what applying would change; checks all that applying checks."""
        return _changes(self._steps(identity, request))

    def apply(self, identity: Identity, request: resources.Documents) -> resources.ResourceChanges:
        """Create or replace, all or none."""
        steps = self._steps(identity, request)
        self._commit(identity, [step for step in steps if step.action != "unchanged"])
        return _changes(steps)

    def delete(self, identity: Identity, request: resources.ResourceRemoval) -> resources.ResourceChanges:
        """Remove one resource."""
        kind = self._kind(request.kind)
        self._require(identity, kind.name, "delete")
        found = self._found(kind, request.name)
        if request.revision is not None and request.revision != found.revision:
            raise _changed(kind.name, found)
        if not isinstance(kind, Removable):
            raise Invalid(f"a {kind.name} can't be removed")
        steps = (Step(kind=kind.name, before=found, plan=kind.removal(found, identity.actor)),)
        self._commit(identity, steps)
        return _changes(steps)

    def _steps(self, identity: Identity, request: resources.Documents) -> tuple[Step, ...]:
        written = read_documents(request.text)
        made = frozenset(_role_names(written))
        steps = tuple(self._step(identity, one, made, replace=request.replace) for one in written)
        seen: set[tuple[str, str]] = set()
        for step in steps:
            if (step.kind, step.plan.name) in seen:
                raise Invalid(f"{step.kind}/{step.plan.name} stands twice in these documents")
            seen.add((step.kind, step.plan.name))
        return steps

    def _step(self, identity: Identity, written: Written, made: frozenset[str], *, replace: bool) -> Step:
        try:
            kind = self._kind(Reader(written.content).required("kind"))
            plan = _writable(kind).planned(written.content, identity.actor, made)
        except DocumentError as error:
            raise written.located(error) from error
        before = kind.find(plan.name)
        self._require(identity, kind.name, "create" if before is None else "update")
        _check_revision(kind.name, before, written, replace=replace)
        return Step(kind=kind.name, before=before, plan=plan)

    def _commit(self, identity: Identity, steps: Sequence[Step]) -> None:
        operations: list[Operation] = [one for step in steps for one in step.plan.operations]
        for step in steps:
            self._record(identity, step)
        if not operations:
            return
        try:
            self.state.backend.transact(operations)
        except SallyportError as error:
            for step in steps:
                self._record(identity, step, error=str(error))
            raise

    def _record(self, identity: Identity, step: Step, *, error: str = "") -> None:
        detail = {"kind": step.kind, **step.plan.detail}
        self.trail.record(Event(name=step.plan.event, user=identity.actor, error=error, detail=detail))

    def _kind(self, name: str) -> Kind:
        kind = self.kinds.get(name) or self.kinds.get(name.removesuffix("s"))
        if kind is None:
            near = get_close_matches(name, self.kinds, n=1)
            hint = f"did you mean {near[0]}?" if near else f"kinds are {', '.join(sorted(self.kinds))}"
            raise DocumentError(("kind",), f"there is no kind {name[:64]!r}; {hint}")
        return kind

    def _found(self, kind: Kind, name: str) -> Resource:
        found = kind.find(name)
        if found is None:
            raise NotFound(f"there is no {kind.name} {name[:128]!r}")
        return found

    def _require(self, identity: Identity, kind: str, verb: str) -> None:
        if isinstance(identity, Person):
            user = self.state.users.get(identity.user).value
            self.roles.require(user, Rule(kind, verb), self.clock.now())


def _writable(kind: Kind) -> Writable:
    if isinstance(kind, Writable):
        return kind
    raise DocumentError(("kind",), INSTEAD.get(kind.name, f"a {kind.name} can't be written"))


def _role_names(written: Sequence[Written]) -> Iterator[str]:
    for one in written:
        metadata = one.content.get("metadata")
        if one.content.get("kind") == "role" and isinstance(metadata, dict):
            yield str(metadata.get("name"))


def _check_revision(kind: str, before: Resource | None, written: Written, *, replace: bool) -> None:
    metadata = written.content.get("metadata")
    claimed = str(metadata.get("revision") or "") if isinstance(metadata, dict) else ""
    if before is None:
        if claimed:
            raise Conflict(f"{kind} of revision {claimed} was removed in between: leave the revision out")
        return
    if claimed and claimed != str(before.revision):
        raise _changed(kind, before)
    if not claimed and not replace:
        raise Exists(f"{kind}/{before.name} exists already: -f replaces it, `edit` changes it")


def _changed(kind: str, found: Resource) -> Conflict:
    return Conflict(f"{kind}/{found.name} was changed by somebody else: it has revision {found.revision} now")


def _view(kind: Kind, found: Resource) -> resources.ResourceView:
    return resources.ResourceView(
        kind=kind.name, name=found.name, revision=found.revision, document=found.document
    )


def _changes(steps: Sequence[Step]) -> resources.ResourceChanges:
    return resources.ResourceChanges(
        changes=tuple(
            resources.ResourceChange(
                kind=step.kind,
                name=step.plan.name,
                action=step.action,
                before=None if step.before is None else _without_revision(step.before.document),
                after=step.plan.after,
            )
            for step in steps
        )
    )


def _without_revision(document: dict[str, object]) -> dict[str, object]:
    metadata = document.get("metadata")
    if not isinstance(metadata, dict):
        return document
    return {**document, "metadata": {key: value for key, value in metadata.items() if key != "revision"}}
