"""SSH with the key, and the tools people already have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rig.expect import expect

if TYPE_CHECKING:
    from rig.bench import Bench


def ssh_key_and_login(bench: Bench) -> None:
    """An ed25519-sk key is made on the token, and OpenSSH's client logs in to OpenSSH's server with it."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        said = bench.ssh_login(key, bench.folder / "ssh")
    expect("logged in" in said, f"sshd runs the command; it said {said!r}")


def usual_tools(bench: Bench) -> None:
    """The tools that people have see the key and name it."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        said = bench.tools(key)
        expect(str(key.serial) in said, f"the tools show the serial number; they said {said!r}")
