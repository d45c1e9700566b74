"""What a server costs: CPU seconds of all its processes, ended ones too, and its memory.

A server gets a control group of its own where one can be made, because the kernel then counts everything
that ever ran in it, to the nanosecond (`cpuacct.usage`) or microsecond (`cpu.stat`). Where none can be made
the processes are walked: `schedstat` of each thread, and the time of children that have ended, which the
kernel keeps in ticks of 10 ms.

    Meter ── CgroupMeter     proc(5), cgroups(7)
          └─ ProcMeter
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

NANO, MICRO = 1e-9, 1e-6
PROC = Path("/proc")
_ENDED = slice(13, 15)
"""`cutime` and `cstime` among the fields of /proc/PID/stat that follow the command's name."""
_numbers = count(1)


class Meter(ABC):
    """Counts one server."""

    @abstractmethod
    def cpu_seconds(self) -> float:
        """Return the CPU time it took until now; only differences mean anything."""

    @abstractmethod
    def pids(self) -> list[int]:
        """Return its processes."""

    @abstractmethod
    def part(self, name: str, pids: list[int]) -> Meter:
        """Return a meter of some of its processes alone, which this one goes on to count as well."""

    @abstractmethod
    def close(self) -> None:
        """Give up what was made for counting; the processes must have ended."""

    def memory(self) -> int:
        """Return its memory in bytes: the proportional set size, in which a shared page counts once."""
        return sum(map(_pss, self.pids()))


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A mounted hierarchy of control groups that counts CPU time."""

    folder: Path
    file: str

    def read(self, group: Path) -> float:
        """Return a group's CPU seconds."""
        text = (group / self.file).read_text(encoding="ascii")
        if self.file == "cpuacct.usage":
            return int(text) * NANO
        fields = dict(line.split() for line in text.splitlines())
        return int(fields["usage_usec"]) * MICRO


@dataclass(frozen=True, slots=True)
class CgroupMeter(Meter):
    """Counts a control group and those below it."""

    hierarchy: Hierarchy
    group: Path

    @classmethod
    def make(cls, hierarchy: Hierarchy, group: Path, pids: list[int]) -> CgroupMeter:
        """Make the group and put processes into it; raises `OSError`."""
        group.mkdir()
        try:
            for pid in pids:
                (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except OSError:
            group.rmdir()
            raise
        return cls(hierarchy, group)

    def cpu_seconds(self) -> float:
        """See `Meter.cpu_seconds`."""
        return self.hierarchy.read(self.group)

    def pids(self) -> list[int]:
        """See `Meter.pids`."""
        lists = [self.group / "cgroup.procs", *self.group.rglob("*/cgroup.procs")]
        return [int(line) for one in lists for line in one.read_text(encoding="ascii").split()]

    def part(self, name: str, pids: list[int]) -> Meter:
        """See `Meter.part`."""
        return CgroupMeter.make(self.hierarchy, self.group / name, pids)

    def close(self) -> None:
        """See `Meter.close`."""
        with suppress(OSError):  # a process that ends slowly keeps its group: nothing depends on it
            for below in (*self.group.glob("*/"), self.group):
                below.rmdir()


@dataclass(frozen=True, slots=True)
class ProcMeter(Meter):
    """Counts processes and everything that descends from them."""

    roots: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """See `Meter.cpu_seconds`."""
        return sum(_running_seconds(pid) + _ended_seconds(pid) for pid in self.pids())

    def pids(self) -> list[int]:
        """See `Meter.pids`."""
        children = _children()
        found, waiting = set[int](), list(self.roots)
        while waiting:
            pid = waiting.pop()
            if pid not in found and _stat(pid):
                found.add(pid)
                waiting += children.get(pid, [])
        return sorted(found)

    def part(self, name: str, pids: list[int]) -> Meter:
        """See `Meter.part`."""
        del name
        return ProcMeter(tuple(pids))

    def close(self) -> None:
        """See `Meter.close`."""


def metered(name: str, pids: list[int]) -> Meter:
    """Count these processes and their children from now on."""
    for hierarchy in _hierarchies():
        group = hierarchy.folder / f"bench-{os.getpid()}-{next(_numbers)}-{name}"
        with suppress(OSError):
            return CgroupMeter.make(hierarchy, group, pids)
    return ProcMeter(tuple(pids))


def _hierarchies() -> list[Hierarchy]:
    """Find where we may make groups, the kernel's older counter first, because it is finer."""
    mounts = [line.split() for line in (PROC / "mounts").read_text(encoding="utf-8").splitlines()]
    own = _own_groups()
    older = [
        Hierarchy(Path(place + own.get("cpuacct", "")), "cpuacct.usage")
        for _, place, kind, options, *_ in mounts
        if kind == "cgroup" and "cpuacct" in options.split(",")
    ]
    newer = [
        Hierarchy(Path(place + own.get("", "")), "cpu.stat")
        for _, place, kind, *_ in mounts
        if kind == "cgroup2"
    ]
    return older + newer


def _own_groups() -> dict[str, str]:
    """Return our own group by controller; the newer hierarchy has no controller's name."""
    found = {}
    for line in (PROC / "self/cgroup").read_text(encoding="utf-8").splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            found[controller] = "" if path == "/" else path
    return found


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """Return the fields after the command's name, which may hold anything; none when it has ended."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _running_seconds(pid: int) -> float:
    total = 0
    for thread in (PROC / str(pid) / "task").glob("*/schedstat"):
        with suppress(OSError):
            total += int(thread.read_text(encoding="ascii").split()[0])
    return total * NANO


def _ended_seconds(pid: int) -> float:
    ticks = os.sysconf("SC_CLK_TCK")
    return sum(map(int, _stat(pid)[_ENDED])) / ticks


def _pss(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0
    for line in text.splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return 0
