"""Which asyncssh the seams were written for."""

from __future__ import annotations

import logging

import asyncssh
from asyncssh import auth, channel, connection

from appliance.proxy.errors import SeamsChanged

log = logging.getLogger(__name__)

PINNED = "2.24.1"
SEAMS: dict[type, tuple[str, ...]] = {
    connection.SSHConnection: (
        "_process_kexinit",
        "_recv_pkthdr",
        "_process_userauth_request",
        "_process_channel_open",
        "_process_global_request",
        "_packet_handlers",
        "_send",
        "_send_deferred_packets",
        "_force_close",
        "_report_global_response",
        "_make_global_request",
        "_get_extra_kex_algs",
        "_choose_alg",
    ),
    connection.SSHClientConnection: ("_validate_host_key", "_connection_made"),
    connection.SSHServerConnection: ("reload_config", "choose_server_host_key", "validate_public_key"),
    channel.SSHChannel: (
        "_accept_data",
        "_deliver_data",
        "_flush_send_buf",
        "_flush_recv_buf",
        "_pause_resume_writing",
        "_finish_open_request",
        "_process_request",
        "_make_request",
        "_open",
        "_start_reading",
    ),
    auth.ServerAuth: ("send_failure", "send_success"),
}


def is_pinned() -> bool:
    """Whether this is the version that the fast paths were measured and proven on."""
    return asyncssh.__version__ == PINNED


def missing() -> list[str]:
    """Return the seams that the installed asyncssh does not have."""
    return [
        f"{owner.__name__}.{name}"
        for owner, wanted in SEAMS.items()
        for name in wanted
        if not hasattr(owner, name)
    ]


def check() -> bool:
    """Say whether the fast paths may be used; raises `SeamsChanged` where safety can't be had."""
    if lost := missing():
        raise SeamsChanged(f"asyncssh {asyncssh.__version__} has no {', '.join(lost)}; {PINNED} has")
    if not is_pinned():
        log.warning("asyncssh is %s, not %s: the fast paths are off", asyncssh.__version__, PINNED)
    return is_pinned()
