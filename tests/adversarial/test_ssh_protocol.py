"""Threats P: the protocol below logging in, tried on the running endpoint."""

import asyncio
import os
import socket
import struct
import time
from contextlib import suppress
from dataclasses import replace

import asyncssh
import pytest
from asyncssh.packet import Boolean, NameList, String, UInt32
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.attacker import attacking, login
from tests.support.bastion import ROOMY, running_bastion

pytestmark = pytest.mark.functional


@pytest.fixture(scope="module")
def bastion(tmp_path_factory):
    with running_bastion(tmp_path_factory.mktemp("bastion")) as one:
        yield one


def talk(bastion, data, *, seconds=5.0):
    """Send bytes on a fresh connection; return what comes back until the bastion closes it."""
    with socket.create_connection(("127.0.0.1", bastion.port), timeout=seconds) as sock:
        with suppress(OSError):
            sock.sendall(data)
        received = b""
        with suppress(OSError):
            while chunk := sock.recv(65536):
                received += chunk
            return received
    raise AssertionError("the bastion did not close the connection")


def still_serves(bastion):
    assert bastion.ssh("echo alive").stdout == b"alive\n"


@pytest.mark.parametrize("kind", [52, 60, 61, 80, 90, 91, 94, 98])
def test_messages_before_their_time_end_the_connection(bastion, kind):
    async def attack():
        async with attacking(bastion) as attacker:
            attacker._auth_complete = True
            attacker.send_packet(kind, String(b"session"), UInt32(0), UInt32(1 << 20), UInt32(32768))
            return await attacker.answer()

    assert asyncio.run(attack()) == 0


@pytest.mark.parametrize("kind", [0, 19, 28, 70, 79, 110, 192, 255])
def test_unknown_messages_do_no_harm(bastion, kind):
    async def attack():
        async with attacking(bastion) as attacker:
            attacker._auth_complete = True
            attacker.send_packet(kind, os.urandom(64))
            attacker.request(b"joe", b"none")
            with suppress(TimeoutError):
                await attacker.answer()

    asyncio.run(attack())
    still_serves(bastion)


def test_authentication_after_authentication_is_ignored_or_ends_the_connection(bastion):
    async def attack():
        key, paper = bastion.authority.person("joe")
        connection = await login(bastion, "joe", key, paper)
        before = len(bastion.authority.calls)
        connection._auth_in_progress = True
        connection.send_packet(50, String(b"root"), String(b"ssh-connection"), String(b"none"))
        connection._send_global_request(b"keepalive@openssh.com", want_reply=False)
        connection.send_packet(50, String(b"root"), String(b"ssh-connection"), String(b"none"))
        async with asyncio.timeout(5):
            await connection.wait_closed()
        return [name for name, _ in bastion.authority.calls[before:] if name.startswith("ssh.")]

    assert asyncio.run(attack()) == []


@pytest.mark.parametrize(
    "method", [b"none", b"password", b"hostbased", b"gssapi-with-mic", b"keyboard-interactive"]
)
def test_no_method_but_public_keys_leads_anywhere(bastion, method):
    async def attack():
        async with attacking(bastion) as attacker:
            attacker.request(b"joe", method, Boolean(False) + String(b"x"))
            return await attacker.answer()

    assert asyncio.run(attack()) in {51, 0}


def test_another_service_than_connections_is_refused(bastion):
    async def attack():
        async with attacking(bastion) as attacker:
            attacker.request(b"joe", b"none", service=b"ssh-admin")
            return await attacker.answer()

    assert asyncio.run(attack()) == 0


def test_extension_info_is_heard_once_and_in_its_time(bastion):
    async def attack():
        async with attacking(bastion) as attacker:
            attacker.send_packet(7, UInt32(0))
            return await attacker.answer()

    assert asyncio.run(attack()) == 0


@pytest.mark.parametrize(
    "data",
    [
        b"\n" * 2000,
        b"A" * 5000,
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"SSH-1.5-old\r\n",
        b"SSH-9.9-x\r\n",
        b"SSH-2.0-\xff\xfe\r\n",
        b"SSH-2.0-" + b"x" * 900 + b"\r\n",
        b"SALLYPORT1 \r\n",
        b"SALLYPORT1 127.0.0.1 22\r\n",
        b"SALLYPORT1 web1 22 extra\r\n",
        b"SALLYPORT1 " + b"a" * 600 + b" 22\r\n",
        b"SALLYPORT1 nosuch 22\r\n",
        b"SSH-2.0-x\r\n" + struct.pack(">IB", 0, 0) + bytes(20),
        b"SSH-2.0-x\r\n" + struct.pack(">IB", 1, 0) + bytes(20),
        b"SSH-2.0-x\r\n" + struct.pack(">IB", 1 << 31, 4) + bytes(20),
        b"SSH-2.0-x\r\n" + struct.pack(">IB", 28, 255) + bytes(28),
        b"SSH-2.0-x\r\n" + struct.pack(">IB", 12, 4) + bytes([2]) + bytes(10),
        b"SSH-2.0-x\r\n" + struct.pack(">IB", 12, 4) + bytes([50]) + bytes(10),
    ],
)
def test_what_is_no_ssh_is_closed(bastion, data):
    talk(bastion, data)
    still_serves(bastion)


def kexinit(**changes):
    """A client's KEXINIT packet, unencrypted."""
    lists = {
        "kex": [b"curve25519-sha256", b"kex-strict-c-v00@openssh.com"],
        "key": [b"ssh-ed25519"],
        "enc": [b"aes128-gcm@openssh.com"],
        "mac": [b"hmac-sha2-256-etm@openssh.com"],
        **changes,
    }
    body = bytes([20]) + bytes(16) + NameList(lists["kex"]) + NameList(lists["key"])
    body += (
        NameList(lists["enc"]) * 2 + NameList(lists["mac"]) * 2 + NameList([b"none"]) * 2 + NameList([]) * 2
    )
    body += Boolean(False) + UInt32(0)
    return packet(body)


def packet(payload):
    padding = -(5 + len(payload)) % 8
    padding += 8 if padding < 4 else 0
    return struct.pack(">IB", len(payload) + padding + 1, padding) + payload + bytes(padding)


@pytest.mark.parametrize("kind", [2, 3, 4], ids=["ignore", "unimplemented", "debug"])
def test_anything_slipped_into_the_first_key_exchange_ends_it(bastion, kind):
    body = {2: String(b""), 3: UInt32(0), 4: Boolean(False) + String(b"") + String(b"")}[kind]
    answer = talk(bastion, b"SSH-2.0-x\r\n" + kexinit() + packet(bytes([kind]) + body))
    assert b"trict key exchange" in answer
    before = talk(bastion, b"SSH-2.0-x\r\n" + packet(bytes([kind]) + body) + kexinit())
    assert before.count(b"SSH-2.0-") == 1


def test_strict_key_exchange_is_offered(bastion):
    assert b"kex-strict-s-v00@openssh.com" in talk(bastion, b"SSH-2.0-x\r\n" + kexinit(kex=[b"none-such"]))


@pytest.mark.parametrize(
    "change",
    [
        {"kex": [b"diffie-hellman-group1-sha1"]},
        {"kex": [b"diffie-hellman-group-exchange-sha256"]},
        {"enc": [b"aes128-cbc"]},
        {"enc": [b"none"]},
        {"enc": [b"aes128-ctr"], "mac": [b"hmac-sha1"]},
        {"key": [b"ssh-rsa"]},
        {"kex": []},
        {"kex": [b"x" * 30000]},
    ],
)
def test_weak_and_absurd_offers_are_not_agreed_to(bastion, change):
    talk(bastion, b"SSH-2.0-x\r\n" + kexinit(**change))
    still_serves(bastion)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=120)), min_size=1, max_size=6))
def test_made_up_packets_never_stop_the_worker(bastion, packets):
    data = b"SSH-2.0-x\r\n" + kexinit() + b"".join(packet(bytes([kind]) + body) for kind, body in packets)
    with socket.create_connection(("127.0.0.1", bastion.port), timeout=5) as sock:
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            while sock.recv(65536):
                pass


def test_after_all_that_the_worker_still_serves(bastion):
    still_serves(bastion)
    assert bastion.thread.loop_errors == []


def test_rekeying_every_few_kilobytes_changes_no_byte(bastion):
    data = os.urandom(2_000_000)
    done = bastion.ssh("cat", stdin=data, options=("-o", "RekeyLimit=64K"))
    assert done.stdout == data


@pytest.mark.parametrize(
    "packets",
    [
        [(93, UInt32(0) + UInt32(0xFFFFFFFF)), (93, UInt32(0) + UInt32(0xFFFFFFFF))],
        [(97, UInt32(0)), (97, UInt32(0))],
        [(96, UInt32(0)), (94, UInt32(0) + String(b"late"))],
        [(94, UInt32(0) + String(b"x" * 40000))],
        [(94, UInt32(77) + String(b"no such channel"))],
        [(99, UInt32(0))],
        [(94, UInt32(0))],
        [(98, UInt32(0) + String(b"exec"))],
        [(90, String(b"session") + UInt32(5) + UInt32(0) + UInt32(0))],
    ],
    ids=[
        "window",
        "close twice",
        "data after eof",
        "too big",
        "number",
        "reply",
        "torn",
        "torn request",
        "size 0",
    ],
)
def test_broken_channel_rules_end_only_the_one_who_breaks_them(bastion, packets):
    async def attack():
        key, paper = bastion.authority.person("joe")
        connection = await login(bastion, "joe", key, paper)
        connection.send_packet(90, String(b"session"), UInt32(3), UInt32(1 << 20), UInt32(32768))
        await asyncio.sleep(0.2)
        for kind, body in packets:
            connection.send_packet(kind, body)
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await connection.wait_closed()
        connection.abort()
        await connection.wait_closed()

    with suppress(asyncssh.Error):
        asyncio.run(attack())
    still_serves(bastion)


def test_a_line_that_drips_is_cut_off_by_the_grace_time(tmp_path):
    with running_bastion(tmp_path, limits=replace(ROOMY, login_grace=1.0)) as quick:
        began = time.monotonic()
        with socket.create_connection(("127.0.0.1", quick.port), timeout=10) as sock:
            with suppress(OSError):
                for _ in range(40):
                    sock.sendall(b"x")
                    time.sleep(0.1)
            with suppress(OSError):
                while sock.recv(1000):
                    pass
        assert time.monotonic() - began < 4.5
