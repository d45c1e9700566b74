"""What all connections of one worker share."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from appliance.domain.operations.ssh import ProxyTrust
from appliance.proxy.authority import Authority, Clock
from appliance.proxy.config import Limits
from appliance.proxy.direct import DirectStream
from appliance.proxy.hosts import Hosts
from appliance.proxy.limits import Door
from appliance.proxy.outbound import Nodes
from appliance.proxy.reporter import Reporter
from appliance.proxy.session import Session
from appliance.proxy.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any

    from appliance.recording.errors import RecorderFailed
    from appliance.recording.frames import SessionFacts
    from appliance.recording.writer import Recorder


T = TypeVar("T")


class Recorders(Protocol):
    """Makes recorders; nothing is written before they are opened."""

    def __call__(
        self,
        facts: SessionFacts,
        *,
        on_failure: Callable[[RecorderFailed], None],
        on_drained: Callable[[], None],
    ) -> Recorder:
        """Return a recorder for a session."""


class Crowd(Generic[T]):
    """A set that can be waited on to become empty."""

    def __init__(self) -> None:
        self._members: dict[T, None] = {}
        self._empty = asyncio.Event()
        self._empty.set()

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._members))

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: T) -> None:
        """Let somebody in."""
        self._members[member] = None
        self._empty.clear()

    def discard(self, member: T) -> None:
        """Let somebody go; harmless when repeated."""
        self._members.pop(member, None)
        if not self._members:
            self._empty.set()

    async def gone(self) -> None:
        """Wait until nobody is left."""
        await self._empty.wait()


class Tasks:
    """Keeps tasks until they are done, so that none is lost, and waits for them at the end."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run something that outlives its caller."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "a task of the proxy failed", "exception": error, "task": task}
            asyncio.get_running_loop().call_exception_handler(context)

    async def finished(self) -> None:
        """Wait until all are done."""
        while self._tasks:
            await asyncio.wait(list(self._tasks))


@dataclass(slots=True, kw_only=True, eq=False)
class Edge:
    """The services of a worker. Only `trust` and `draining` change."""

    trust: ProxyTrust
    limits: Limits
    clock: Clock
    authority: Authority
    reporter: Reporter
    spool: Spool
    recorders: Recorders
    hosts: Hosts
    nodes: Nodes
    door: Door
    tasks: Tasks = field(default_factory=Tasks)
    sessions: Crowd[Session] = field(default_factory=Crowd)
    streams: Crowd[DirectStream] = field(default_factory=Crowd)
    people: Counter[str] = field(default_factory=Counter)
    """Who is in, with the number of their connections."""
    draining: bool = False
    workers: int = 1
    """How many workers share limits that hold for all of them."""

    def share(self, limit: int) -> int:
        """Return this worker's part of a limit on all of them, rounded up."""
        return -(-limit // self.workers)

    def room_for(self, user: str) -> bool:
        """Whether this person may be among those who are in (`max_users`)."""
        return user in self.people or len(self.people) < self.share(self.trust.max_users)

    def timestamp(self) -> float:
        """Return seconds since 1970, by the clock that was handed in."""
        return self.clock.now().timestamp()
