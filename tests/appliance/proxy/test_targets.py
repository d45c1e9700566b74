import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.proxy.errors import TargetInvalid
from appliance.proxy.targets import (
    Destination,
    Target,
    parse_destination,
    parse_node,
    parse_preamble,
    parse_subsystem,
    parse_target,
)


@pytest.mark.parametrize("text", ["web1", "web1.main"])
def test_a_node_is_named_with_or_without_its_cluster(text):
    assert parse_node(text, "main") == "web1"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "127.0.0.1",
        "::1",
        "[::1]",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "-oProxyCommand=x",
        "web1;id",
        "web1\n",
        "$(id)",
        "WEB1",
        "web1.",
        ".web1",
        "wéb",
        "a" * 300,
        "web1 ",
        "../web1",
        "127.0.0.1.main",
    ],
)
def test_addresses_and_disguises_are_no_nodes(text):
    with pytest.raises(TargetInvalid):
        parse_node(text, "main")


@pytest.mark.parametrize("port", [0, -1, 65536, 1 << 31])
def test_a_port_is_one_to_65535(port):
    with pytest.raises(TargetInvalid):
        parse_target("web1", port, "main")


def test_the_proxy_subsystem_names_host_port_and_perhaps_a_cluster():
    assert parse_subsystem("proxy:web1:22", "main") == Target(node="web1")
    assert parse_subsystem("proxy:web1.main:8080@main", "main") == Target(node="web1", port=8080)
    assert parse_subsystem("sftp", "main") is None


@pytest.mark.parametrize(
    "text", ["proxy:", "proxy:web1", "proxy:web1:x", "proxy:web1:22@other", "proxy:web1:٢٢"]
)
def test_a_proxy_subsystem_that_is_not_whole_is_refused(text):
    with pytest.raises(TargetInvalid):
        parse_subsystem(text, "main")


@pytest.mark.parametrize("text", ["root@web1", "root%web1", "root@web1.main"])
def test_a_user_name_can_name_login_and_node(text):
    assert parse_destination(text, "main") == Destination(login="root", node="web1")


def test_a_plain_user_name_names_no_node():
    assert parse_destination("joe", "main") is None


@pytest.mark.parametrize("text", ["@web1", "root@", "Root@web1", "root@127.0.0.1", "a@b@web1"])
def test_half_a_destination_is_refused(text):
    with pytest.raises(TargetInvalid):
        parse_destination(text, "main")


def test_the_preamble_names_a_node_before_the_greeting():
    assert parse_preamble(b"SALLYPORT1 web1.main 22\r", "main") == Target(node="web1")


@given(st.binary(max_size=600))
def test_any_other_preamble_is_refused_or_read_without_a_crash(line):
    with contextlib.suppress(TargetInvalid):
        parse_preamble(b"SALLYPORT1 " + line, "main")
