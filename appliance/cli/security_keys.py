"""A security key on this machine, over USB or a card reader, for the command line."""

from __future__ import annotations

from typing import Any

from appliance.domain.errors import Denied
from authenticators.devices.fido import FidoClient
from authenticators.devices.prompter import TerminalPrompter
from authenticators.errors import DeviceError


def assertion(options: dict[str, Any], origin: str) -> dict[str, Any]:
    """Have a key answer WebAuthn request options for this origin; raises `Denied` with what went wrong."""
    try:
        answer: dict[str, Any] = FidoClient(prompter=TerminalPrompter()).get_assertion(options, origin)
    except DeviceError as error:
        raise Denied(f"security key: {error.code}", message=f"security key: {error}") from error
    return answer


def registration(options: dict[str, Any], origin: str) -> dict[str, Any]:
    """Have a key make a credential by WebAuthn creation options; raises `Denied` with what went wrong."""
    try:
        answer: dict[str, Any] = FidoClient(prompter=TerminalPrompter()).make_credential(options, origin)
    except DeviceError as error:
        raise Denied(f"security key: {error.code}", message=f"security key: {error}") from error
    return answer
