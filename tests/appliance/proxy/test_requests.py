import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.proxy.permits import Permits
from appliance.proxy.requests import (
    HandOn,
    Program,
    Refuse,
    Resized,
    Run,
    Terminal,
    Variable,
    judge,
)
from appliance.proxy.wire import string

NOTHING = Permits(
    terminal=False,
    file_copy=False,
    agent=False,
    x11=False,
    forwarding=False,
    forced_command=None,
    idle=None,
)
ALL = Permits(
    terminal=True,
    file_copy=True,
    agent=True,
    x11=True,
    forwarding=True,
    forced_command=None,
    idle=None,
)
FORCED = Permits(
    terminal=True,
    file_copy=True,
    agent=False,
    x11=False,
    forwarding=False,
    forced_command="uptime",
    idle=None,
)


def number(value):
    return value.to_bytes(4, "big")


def pty(term=b"xterm-256color"):
    return string(term) + number(80) + number(24) + number(0) + number(0) + string(b"")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"LANG", b"C.UTF-8"),
        (b"LC_ALL", b"de_DE.UTF-8"),
        (b"TZ", b"Europe/Berlin"),
        (b"GIT_PROTOCOL", b"version=2"),
    ],
)
def test_harmless_variables_pass(name, value):
    assert judge("env", string(name) + string(value), NOTHING) == Variable(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (b"LD_PRELOAD", b"/tmp/x.so"),
        (b"PATH", b"/tmp"),
        (b"BASH_ENV", b"/tmp/x"),
        (b"IFS", b"x"),
        (b"LC_ALL", b"a\nb"),
        (b"LC_ALL", b"() { :;}; id"),
        (b"LC_lower", b"x"),
        (b"LANG", b"\x1b]0;x\x07"),
        (b"LANG\0", b"x"),
        (b"LC_" + b"A" * 100, b"x"),
        (b"LANG", b"x" * 200),
    ],
)
def test_other_variables_do_not(name, value):
    assert isinstance(judge("env", string(name) + string(value), ALL), Refuse)


def test_a_terminal_of_a_plain_type_passes_and_one_with_escapes_does_not():
    assert judge("pty-req", pty(), ALL) == Terminal("xterm-256color", 80, 24)
    assert isinstance(judge("pty-req", pty(b"x\x1b[2J"), ALL), Refuse)
    assert isinstance(judge("pty-req", pty(b"../../etc"), ALL), Refuse)
    assert isinstance(judge("pty-req", pty(), NOTHING), Refuse)


def test_sizes_beyond_reason_are_cut():
    assert judge("window-change", number(1 << 31) + number(24) + number(0) * 2, ALL) == Resized(10000, 24)


@pytest.mark.parametrize("name", [b"sftp;sh", b"../x", b"", b"a" * 65536, b"a b", b"x\ny", b"-x"])
def test_subsystems_of_other_names_are_refused(name):
    assert isinstance(judge("subsystem", string(name), ALL), Refuse)


def test_commands_pass_as_they_are():
    verdict = judge("exec", string(b"echo \xff; id"), ALL)
    assert verdict == Run(Program.EXEC, b"echo \xff; id", "exec", string(b"echo \xff; id"))


def test_a_forced_command_stands_in_for_every_program():
    for name, payload in (("shell", b""), ("exec", string(b"id")), ("subsystem", string(b"sftp"))):
        assert judge(name, payload, FORCED) == Run(Program.EXEC, b"uptime", "exec", string(b"uptime"))


def test_forwards_are_refused_unless_allowed():
    for name in ("auth-agent-req@openssh.com", "x11-req"):
        assert isinstance(judge(name, b"", FORCED), Refuse)
        assert judge(name, b"", ALL) == HandOn()


@pytest.mark.parametrize(
    "command", [b"scp -t /tmp", b"/usr/bin/scp -f x", b" rsync --server", b"sftp-server"]
)
def test_where_copying_is_not_allowed_its_usual_commands_are_refused(command):
    assert isinstance(judge("exec", string(command), NOTHING), Refuse)
    assert isinstance(judge("subsystem", string(b"sftp"), NOTHING), Refuse)


@pytest.mark.parametrize("payload", [b"", b"\0", number(5) + b"abc", string(b"x") + b"tail"])
def test_torn_requests_are_refused(payload):
    assert isinstance(judge("exec", payload, ALL), Refuse)


@given(st.text(max_size=20), st.binary(max_size=200))
def test_any_request_has_a_verdict(name, payload):
    judge(name, payload, ALL)
