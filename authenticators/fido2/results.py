"""Whom a ceremony is for, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authenticators.fido2.credential import Credential


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """The account a credential is made for. `handle` is 1 to 64 opaque bytes, never a name or an address."""

    handle: bytes
    name: str
    display_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered:
    """A registration that passed. Store the credential create-only: its id may belong to nobody yet."""

    credential: Credential
    attestation_format: str
    extensions: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Authenticated:
    """An authentication that passed. `credential` carries the new counter, to be stored by compare-and-swap.

    `app_id_used` tells that the key signed for the U2F app id, not for the RP ID.
    """

    credential: Credential
    user_verified: bool
    app_id_used: bool
    extensions: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class CloneAlarm:
    """A right signature whose counter did not grow: two devices hold it, or one was rolled back."""

    suspect: Credential
    stored_count: int
    received_count: int

    def __bool__(self) -> bool:
        return False


Authentication = Authenticated | CloneAlarm
