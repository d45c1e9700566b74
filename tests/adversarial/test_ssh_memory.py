"""Memory is bounded for every slow or hostile peer; the figures are those of the worker's process."""

import asyncio
import contextlib
import hashlib
import os
import subprocess
import time
from pathlib import Path

import asyncssh
import pytest
from asyncssh.packet import String, UInt32

from tests.support.attacker import login
from tests.support.worker_process import running_process

pytestmark = pytest.mark.functional
MIB = 1 << 20
GROWTH = 24 * MIB
"""What one slow peer may cost: two windows of 2 MiB each way, the recorder's 8 MiB, and Python's slack."""


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_process(tmp_path_factory.mktemp("bastion")) as one:
        for _ in range(3):
            assert one.ssh("head -c 30000000 /dev/zero").returncode == 0
        yield one


def bounded(grown):
    """Hold a growth of memory to the bound, and say how much it was (`pytest -s`)."""
    print(f" {grown / MIB:.1f} MiB", end="")
    assert grown < GROWTH, f"{grown / MIB:.0f} MiB"


def growth(bastion, before, seconds=4.0):
    return bastion.peak(seconds) - before


def test_a_client_that_reads_slowly_costs_no_more_than_its_windows(bastion):
    before = bastion.rss()
    process = subprocess.Popen(
        ["ssh", "-F", str(bastion.folder / "ssh_config"), "web1.main", "head -c 1000000000 /dev/zero"],
        stdout=subprocess.PIPE,
    )
    grown = growth(bastion, before)
    assert process.poll() is None
    process.kill()
    process.communicate()
    bounded(grown)


def test_a_node_that_reads_slowly_costs_no_more_than_its_windows(bastion):
    before = bastion.rss()
    with Path("/dev/zero").open("rb") as zeroes:
        process = subprocess.Popen(
            ["ssh", "-F", str(bastion.folder / "ssh_config"), "web1.main", "sleep 30"],
            stdin=zeroes,
            stdout=subprocess.PIPE,
        )
    grown = growth(bastion, before)
    assert process.poll() is None
    process.kill()
    process.communicate()
    bounded(grown)


async def _stalled(bastion, command, **options):
    """Log in at the node, start a command with a window of 2 GiB, then stop reading the TCP connection."""
    key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
    connection = await login(bastion, f"{bastion.node.login}@web1", key, paper, **options)
    process = await connection.create_process(command, encoding=None, window=1 << 31)
    connection._transport.pause_reading()
    return connection, process


def test_a_window_of_two_gigabytes_that_is_never_read_costs_nothing(bastion):
    async def attack():
        before = bastion.rss()
        connection, _ = await _stalled(bastion, "head -c 1500000000 /dev/zero")
        grown = await asyncio.to_thread(growth, bastion, before)
        assert not connection.is_closed()
        connection.abort()
        return grown

    grown = asyncio.run(attack())
    bounded(grown)


def test_a_key_exchange_that_is_begun_and_never_finished_costs_nothing(bastion):
    async def attack():
        before = bastion.rss()
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        await connection.create_process("head -c 1500000000 /dev/zero", encoding=None, window=1 << 31)
        connection._send_kexinit()
        connection._process_kexinit = None
        connection._packet_handlers = {**connection._packet_handlers, 20: lambda *_: True}
        grown = await asyncio.to_thread(growth, bastion, before)
        assert not connection.is_closed()
        connection.abort()
        return grown

    grown = asyncio.run(attack())
    bounded(grown)


def test_requests_that_want_answers_which_nobody_reads_are_cut_off(bastion):
    async def attack():
        before = bastion.rss()
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        connection._transport.pause_reading()
        with contextlib.suppress(OSError, asyncssh.Error):
            for _ in range(400):
                for _ in range(500):
                    connection._send_global_request(b"keepalive@openssh.com", want_reply=True)
                await asyncio.sleep(0)
        grown = await asyncio.to_thread(growth, bastion, before, 2.0)
        connection.abort()
        return grown

    grown = asyncio.run(attack())
    bounded(grown)


def test_ten_thousand_tiny_packets_to_somebody_who_does_not_read_cost_little(bastion):
    async def attack():
        before = bastion.rss()
        key, paper = bastion.authority.person("joe", "joe", bastion.node.login)
        connection = await login(bastion, f"{bastion.node.login}@web1", key, paper)
        process = await connection.create_process("sleep 20", encoding=None)
        for _ in range(100):
            for _ in range(1000):
                process.channel.send_packet(94, String(b"x"))
            await asyncio.sleep(0)
        grown = await asyncio.to_thread(growth, bastion, before, 2.0)
        connection.abort()
        return grown

    grown = asyncio.run(attack())
    bounded(grown)


def test_a_hundred_channels_and_ten_thousand_refused_ones_leave_nothing(bastion):
    async def attack():
        key, paper = bastion.authority.person("joe")
        connection = await login(bastion, "joe", key, paper)
        before = bastion.rss()
        for index in range(10000):
            connection.send_packet(90, String(b"x11"), UInt32(index), UInt32(1), UInt32(1))
            if not index % 100:
                await asyncio.sleep(0.002)
        await asyncio.sleep(1)
        grown = bastion.rss() - before
        connection.abort()
        return grown

    grown = asyncio.run(attack())
    bounded(grown)


def test_a_stalled_transfer_goes_on_and_loses_nothing(bastion):
    async def transfer():
        connection, process = await _stalled(bastion, "head -c 60000000 /dev/zero | tr '\\0' x")
        await asyncio.sleep(1.5)
        connection._transport.resume_reading()
        data = await process.stdout.read()
        status = (await process.wait()).exit_status
        connection.abort()
        return hashlib.sha256(data).digest(), status

    assert asyncio.run(transfer()) == (hashlib.sha256(b"x" * 60000000).digest(), 0)


def test_large_transfers_both_ways_across_rekeys_are_the_same_bytes(bastion, tmp_path):
    data = os.urandom(1 << 20) * 64
    source = tmp_path / "source"
    source.write_bytes(data)
    down = bastion.ssh(f"cat {source}", options=("-o", "RekeyLimit=10M"))
    assert hashlib.sha256(down.stdout).digest() == hashlib.sha256(data).digest()
    up = bastion.ssh("sha256sum", stdin=data, options=("-o", "RekeyLimit=10M"))
    assert up.stdout.split()[0].decode() == hashlib.sha256(data).hexdigest()


def test_after_all_that_nothing_is_kept(bastion):
    assert bastion.ssh("true").returncode == 0
    time.sleep(1)
    fds = len(os.listdir(f"/proc/{bastion.process.pid}/fd"))  # noqa: PTH208 - only their number
    assert fds < 64
