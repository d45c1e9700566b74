"""The signer process: the only one that holds the token. Unix sockets, no network."""

from __future__ import annotations

import os
import time
from threading import Thread
from typing import TYPE_CHECKING, Any

from appliance.config.schema import duration
from appliance.domain.errors import Invalid, Unavailable
from appliance.roles import notify, pin
from appliance.roles.layout import Layout, closed
from appliance.roles.process import main
from hsm import registry
from hsm.errors import HsmError, Malformed
from hsm.signer import limits
from hsm.signer.desk import Memory
from hsm.signer.ledger import Ledger
from hsm.signer.protocol import Ca
from hsm.signer.server import Door, SignerConfig, SignerServer
from hsm.signer.token import Token

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping

    from appliance.config import Config

READY_SECONDS = 30.0
DURATIONS = frozenset({"longest_life", "backdate"})
"""Settings of the limits that a person may write as `30h`; the library takes seconds."""


def run(config: Config, arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    del arguments
    layout = Layout(closed(config.data_dir))
    closed(layout.run)
    closed(layout.ledger.parent)
    table = limit_table(config.signer_service.limits)
    memory = Memory()
    cluster = config.auth_service.cluster_name
    ledger = Ledger.open(layout.ledger, cluster, clock=time.time, seen=memory.see)  # noqa: TID251 - seconds of the wall clock
    place, released = pin.token(config, layout), pin.released(config, layout)
    token = Token(registry.opener(place), released)
    if released is not None:
        _open(token, place.location.partition("?")[0])
    server = SignerServer(
        SignerConfig(cluster=cluster, doors=_doors(layout), limits=table),
        token,
        ledger,
        memory,
        time.time,  # noqa: TID251 - the signer takes its clock as a function
    )
    Thread(target=_announce, args=(server,), daemon=True).start()
    server.serve()


def _open(token: Token, place: str) -> None:
    """Open a token whose PIN a machine releases: now, or it is said at once why not."""
    try:
        token.provider()
    except HsmError as error:
        tries = getattr(error, "tries_left", None)
        left = "" if tries is None else f" ({tries} tries left)"
        raise Unavailable(f"{place}: {error}{left}") from error


def _announce(server: SignerServer) -> None:
    if server.ready.wait(READY_SECONDS):
        notify.ready("serving")


def _doors(layout: Layout) -> tuple[Door, ...]:
    own = frozenset({os.getuid()})
    return (
        Door(caller="auth", path=layout.signer_auth, uids=own),
        Door(caller="console", path=layout.signer_console, uids=own | {0}),
    )


def limit_table(settings: Mapping[str, Any]) -> limits.LimitTable:
    """Return the built-in limits with the configuration's changes; a mistake is named with its place."""
    try:
        return limits.parse(_seconds(settings))
    except Malformed as error:
        raise Invalid(f"signer_service.limits.{error}") from error


def _seconds(settings: Mapping[str, Any], place: str = "") -> dict[str, Any]:
    """Return the settings with durations in seconds, and every table checked to be one."""
    read = dict[str, Any]()
    for name, value in settings.items():
        here = f"{place}.{name}".removeprefix(".")
        if name in DURATIONS:
            read[name] = _duration(here, value)
        elif isinstance(value, dict):
            read[name] = _seconds(value, here)
        elif not place or name == "certificates" or name in set(Ca):
            raise Malformed(f"{here}: expected a table of settings")
        else:
            read[name] = value
    return read


def _duration(place: str, value: object) -> object:
    try:
        return duration(value)
    except ValueError as error:
        raise Malformed(f"{place}: {error}") from error


if __name__ == "__main__":
    main("signer", run, expected=(HsmError,))
