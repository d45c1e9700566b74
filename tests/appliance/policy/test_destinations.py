import pytest

from appliance.domain.errors import Invalid
from appliance.domain.role import SessionOptions
from appliance.policy.destinations import allows_destination, may_forward, parse_destination
from tests.support.roles import HOUR, node, role


@pytest.mark.parametrize(
    ("entry", "host", "port", "allowed"),
    [
        ("db.internal:5432", "db.internal", 5432, True),
        ("db.internal:5432", "DB.internal.", 5432, True),
        ("db.internal:5432", "db.internal", 5433, False),
        ("db.internal:5432", "db.internal.evil", 5432, False),
        ("*.corp:443", "git.corp", 443, True),
        ("*.corp:443", "corp", 443, False),
        ("^db[0-9]+$:5432-5439", "db12", 5439, True),
        ("^db[0-9]+$:5432-5439", "db12", 5440, False),
        ("127.0.0.1:80", "127.0.0.1", 80, True),
        ("127.0.0.1:80", "::ffff:127.0.0.1", 80, True),
        ("127.0.0.1:80", "localhost", 80, False),
        ("localhost:80", "127.0.0.1", 80, False),
        ("10.1.0.0/16:22", "10.1.2.3", 22, True),
        ("10.1.0.0/16:22", "10.2.2.3", 22, False),
        ("[fd00::]/8:22", "[fd00::1]", 22, True),
        ("[fd00::]/8:22", "fe80::1", 22, False),
        ("*:443", "203.0.113.9", 443, True),
        ("*:443", "anything.example", 443, True),
        ("*:443", "anything.example", 80, False),
        ("*:*", "a.b", 65535, True),
        ("*.1:*", "10.0.0.1", 22, False),
    ],
)
def test_a_destination_matches_names_by_name_and_addresses_by_address(entry, host, port, allowed):
    assert parse_destination(entry).allows(host, port) is allowed


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "10.0.0.0x1",
        "127.0.0.01",
        "",
        ".",
        "a b",
        "\uff41.corp",
        "fe80::1%eth0x",
        "[::1",
        "a/b",
        "10.0.0.1.",
    ],
)
def test_a_host_that_readers_disagree_about_matches_nothing(host):
    assert not parse_destination("*:*").allows(host, 22)


@pytest.mark.parametrize(
    "entry",
    [
        "",
        "host",
        ":22",
        "host:",
        "host:0",
        "host:65536",
        "host:9-1",
        "host:ssh",
        "a:b:22",
        "host:1-",
        "h:\u0661",
    ],
)
def test_a_broken_entry_is_an_error(entry):
    with pytest.raises(Invalid):
        parse_destination(entry)


def test_nothing_listed_or_forwarding_off_means_no_forward():
    listed = SessionOptions(max_session_ttl=HOUR, port_forwarding=True, direct_destinations=("a:1",))
    off = SessionOptions(max_session_ttl=HOUR, direct_destinations=("a:1",))
    assert may_forward(listed, "a", 1)
    assert not may_forward(listed, "a", 2)
    assert not may_forward(off, "a", 1)
    assert not may_forward(SessionOptions(max_session_ttl=HOUR, port_forwarding=True), "a", 1)


def test_a_direct_stream_to_a_node_needs_the_list_and_no_deny():
    stream = role("stream", port_forwarding=True, direct_destinations=["web*:22"])
    web = node("web1", env="prod")
    assert allows_destination([stream], web, 22)
    assert not allows_destination([stream], node("db1"), 22)
    assert not allows_destination([role("off", direct_destinations=["web*:22"])], web, 22)
    denies = role("denies", deny={"node_labels": {"env": "prod"}})
    assert not allows_destination([stream, denies], web, 22)
    assert not allows_destination([denies, stream], web, 22)
