"""Readiness, told the way systemd wants to hear it (sd_notify): one datagram to NOTIFY_SOCKET."""

from __future__ import annotations

import os
import socket


def ready(status: str = "") -> None:
    """Tell whoever started us that we serve now. Does nothing when nobody asked to be told."""
    _send(f"READY=1\nSTATUS={status}\nMAINPID={os.getpid()}")


def waiting(reason: str, seconds: float) -> None:
    """Tell whoever started us that it takes longer, and why: for a person to do something about it."""
    _send(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}\nSTATUS=waiting: {reason}")


def failed(reason: str) -> None:
    """Tell whoever started us why we can't start."""
    _send(f"STATUS=failed: {reason}")


def _send(text: str) -> None:
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect("\0" + address[1:] if address.startswith("@") else address)
        sender.sendall(text.encode())
