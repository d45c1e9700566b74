"""The audit log under the token's signature: a thread that signs how far the log has come."""

from __future__ import annotations

import logging
from threading import Event as Signal
from threading import Thread
from typing import TYPE_CHECKING

from appliance.audit.checkpoint import Checkpointer
from appliance.audit.note import NoteKey
from appliance.audit.signer import SignerNotes
from appliance.domain.records import AuthorityKind
from hsm.signer import note
from hsm.signer.protocol import SignerError

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import ExitStack
    from pathlib import Path

    from appliance.audit.log import AuditLog
    from appliance.broker.authorities import Authorities
    from hsm.signer.client import SignerClient

TREE = "audit-tree"
"""Folder of the tree's hashes, beside the store; it may be lost."""

log = logging.getLogger(__name__)


def checkpointer(
    audit: AuditLog, *, folder: Path, tree: Path, authorities: Authorities, signer: SignerClient
) -> Checkpointer:
    """Return the signer of checkpoints of the log in `folder`, by the audit key that signs now."""
    key, origin = authorities.signing(AuthorityKind.AUDIT), f"{authorities.cluster}/audit"
    former = [one for one in authorities.trusted_keys(AuthorityKind.AUDIT) if one != key]
    return Checkpointer(
        folder,
        tree=tree,
        key=_verifier(origin, key.public_key),
        signer=SignerNotes(client=signer, generation=key.generation),
        durable=audit.head,
        former_keys=[_verifier(origin, one.public_key) for one in former],
    )


def begin(checkpoints: Checkpointer, closing: ExitStack) -> None:
    """Check the log against what was signed before, then sign in a thread until `closing` ends it.

    Raises `ChainBroken` when the log is not the one that was signed: nothing may be added to it then. A
    signer that can't sign now, sealed perhaps, is waited for.
    """
    try:
        checkpoints.advance()
    except SignerError as error:
        log.warning("the audit log is not under a fresh signature yet: %s", error)
    stop = Signal()
    thread = Thread(target=checkpoints.run, args=(stop,), name="checkpoints", daemon=True)
    thread.start()

    def end() -> None:
        stop.set()
        thread.join()

    closing.callback(end)


def on_pressure(audit: Callable[[], AuditLog | None], event: dict[str, object]) -> Callable[[float], None]:
    """Return what tells of a disk that fills up: queued, as the writer itself calls it and must not wait."""

    def tell(used: float) -> None:
        log.error("the disk of the audit log is %d %% full", round(100 * used))
        opened = audit()
        if opened is not None:
            opened.submit({**event, "used_percent": round(100 * used)})

    return tell


def _verifier(origin: str, public_key: bytes) -> NoteKey:
    return NoteKey.parse(note.verifier_key(origin, public_key))
