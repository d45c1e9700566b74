"""The signer process: the only one that holds the token. Unix sockets, no network."""

from __future__ import annotations

import os
import time
from threading import Thread
from typing import TYPE_CHECKING, assert_never

from appliance.config.schema import FileToken, Pkcs11Token
from appliance.domain.errors import Unavailable
from appliance.roles import notify
from appliance.roles.layout import Layout, closed, read_secret, secret_file
from appliance.roles.process import main
from appliance.system import SystemRandomness
from hsm import registry
from hsm.errors import HsmError
from hsm.secret import Secret
from hsm.signer.desk import Memory
from hsm.signer.ledger import Ledger
from hsm.signer.server import Door, SignerConfig, SignerServer
from hsm.signer.token import Token

if TYPE_CHECKING:
    import argparse

    from appliance.config import Config

PIN_BYTES = 24
READY_SECONDS = 30.0


def run(config: Config, arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    del arguments
    layout = Layout(closed(config.data_dir))
    closed(layout.run)
    closed(layout.ledger.parent)
    memory = Memory()
    cluster = config.auth_service.cluster_name
    ledger = Ledger.open(layout.ledger, cluster, clock=time.time, seen=memory.see)  # noqa: TID251 - seconds of the wall clock
    kind, pin = _token(config, layout)
    token = Token(registry.opener(kind), pin)
    if pin is not None:
        _open(token, kind.location.partition("?")[0])
    server = SignerServer(
        SignerConfig(cluster=cluster, doors=_doors(layout)),
        token,
        ledger,
        memory,
        time.time,  # noqa: TID251 - the signer takes its clock as a function
    )
    Thread(target=_announce, args=(server,), daemon=True).start()
    server.serve()


def _open(token: Token, place: str) -> None:
    """Open a token whose PIN is configured: now, or it is said at once why not."""
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


def _token(config: Config, layout: Layout) -> tuple[registry.TokenConfig, Secret | None]:
    cluster = config.auth_service.cluster_name
    match config.signer_service.token:
        case FileToken(path=path, pin_file=pin_file):
            keys = path or layout.token / "keys"
            closed(keys.parent)
            pin = _file_pin(layout) if pin_file is None else read_secret(pin_file)
            kind = registry.TokenConfig(kind=registry.TokenKind.FILE, location=str(keys), cluster=cluster)
            return kind, Secret(pin.strip())
        case Pkcs11Token(uri=uri, pin_file=pin_file):
            kind = registry.TokenConfig(kind=registry.TokenKind.PKCS11, location=uri, cluster=cluster)
            return kind, Secret(read_secret(pin_file).strip()) if pin_file else None
        case unknown:
            assert_never(unknown)


def _file_pin(layout: Layout) -> bytes:
    pin = layout.token / "pin"
    if (layout.token / "keys").exists() and not pin.exists():
        raise Unavailable(f"{pin} is missing: the token can't be opened without its pass phrase")
    return secret_file(pin, SystemRandomness().bytes(PIN_BYTES).hex().encode() + b"\n")


if __name__ == "__main__":
    main("signer", run, expected=(HsmError,))
