"""The audit key in the signer process: it signs checkpoints of a log that grows, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.audit.note import NoteKey
from hsm.signer import note
from hsm.signer.client import SignerClient

if TYPE_CHECKING:
    from hsm.signer.protocol import PublicKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerNotes:
    """A `NoteSigner` that asks the signer for the audit key of a generation."""

    client: SignerClient
    generation: int

    def sign_note(self, text: str) -> str:
        """Return the signed note; raises `SignerError`, also for a log that shrank or changed."""
        return self.client.sign_checkpoint(self.generation, text).note


def note_key(origin: str, key: PublicKey) -> NoteKey:
    """Return the verifier key of the log `origin`; raises `NoteInvalid` for other than Ed25519 and P-256."""
    return NoteKey.parse(note.verifier_key(origin, key.public_key))
