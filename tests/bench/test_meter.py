"""CPU and memory of real processes, by control group where one can be made, and by /proc."""

import subprocess
import sys
import time

import pytest

from bench.meter import CgroupMeter, ProcMeter, metered

BURN = "import time\nuntil = time.process_time() + 0.4\nwhile time.process_time() < until: pass\n"
PARENT = f"""
import subprocess, sys
sys.stdin.readline()
subprocess.run([sys.executable, "-c", {BURN!r}], check=True)
print("burnt", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def parent():
    """A process that has a child burn 0.4 s of CPU when it is told to, and then waits."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", PARENT], text=True, bufsize=1, **pipes) as process:
        yield process
        process.stdin.close()


def burn(process):
    process.stdin.write("\n")
    assert process.stdout.readline() == "burnt\n"


def by_proc(_name, pids):
    return ProcMeter(tuple(pids))


@pytest.mark.parametrize("make", [metered, by_proc], ids=["best", "proc"])
def test_a_child_that_has_ended_is_counted(parent, make):
    meter = make("test", [parent.pid])
    before = meter.cpu_seconds()
    burn(parent)
    took = meter.cpu_seconds() - before
    assert 0.35 < took < 2
    assert meter.pids() == [parent.pid]
    assert meter.memory() > 1 << 20
    parent.stdin.write("\n")
    parent.wait(10)
    assert meter.pids() == []
    meter.close()


def test_a_part_is_counted_alone_and_in_the_whole(parent):
    with subprocess.Popen(["sleep", "60"]) as other:
        meter = metered("test", [other.pid])
        part = meter.part("part", [parent.pid])
        if not isinstance(meter, CgroupMeter):
            other.kill()
            pytest.skip("no control group can be made here; a part of a tree of processes is no subtree")
        before = meter.cpu_seconds(), part.cpu_seconds()
        burn(parent)
        assert part.cpu_seconds() - before[1] > 0.35
        assert meter.cpu_seconds() - before[0] >= part.cpu_seconds() - before[1]
        assert sorted(meter.pids()) == sorted([parent.pid, other.pid])
        other.kill()
    parent.stdin.write("\n")
    parent.wait(10)
    meter.close()
    assert not meter.group.exists()


def test_doing_nothing_costs_nothing():
    with subprocess.Popen(["sleep", "60"]) as process:
        meter = metered("test", [process.pid])
        time.sleep(0.1)
        before = meter.cpu_seconds()
        time.sleep(0.3)
        assert meter.cpu_seconds() - before < 0.05
        process.kill()
    meter.close()


def test_a_process_named_twice_is_counted_once(parent):
    with subprocess.Popen(["sleep", "60"]) as other:
        assert ProcMeter((parent.pid, other.pid, parent.pid)).pids() == sorted([parent.pid, other.pid])
        other.kill()
