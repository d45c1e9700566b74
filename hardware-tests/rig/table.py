"""Which scenarios there are, and in one place what a transport physically cannot do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rig.scenarios import card, pin, shell, web

if TYPE_CHECKING:
    from collections.abc import Callable

    from rig.bench import Bench

IN_PROCESS: Final = "in-process"
PCSC: Final = "pcsc"
USB_GUEST: Final = "usb-guest"
REAL: Final = "real"
REHEARSAL: Final = "real-rehearsal"
VIRTUAL: Final = (IN_PROCESS, PCSC, USB_GUEST)

SCENARIOS: Final[dict[str, Callable[[Bench], None]]] = {
    "enrol": web.enrol,
    "log-in": web.log_in,
    "passkey-log-in": pin.passkey_log_in,
    "fingerprint-log-in": pin.fingerprint_log_in,
    "u2f-enrol-and-log-in": web.u2f_enrol_and_log_in,
    "pin-wrong": pin.pin_wrong,
    "pin-blocked": pin.pin_blocked,
    "pin-changed": pin.pin_changed,
    "touch-refused": web.touch_refused,
    "reset": pin.reset,
    "unplugged-in-the-middle": web.unplugged_in_the_middle,
    "two-keys": web.two_keys,
    "counter-clone": web.counter_clone,
    "bad-signature": web.bad_signature,
    "other-site": web.other_site,
    "attestation-refused-by-policy": web.attestation_refused_by_policy,
    "piv-sign": card.piv_sign,
    "piv-pin-blocked": card.piv_pin_blocked,
    "oath": card.oath,
    "hmac-unseal": card.hmac_unseal,
    "typed-otp": card.typed_otp,
    "ssh-key-and-login": shell.ssh_key_and_login,
    "usual-tools": shell.usual_tools,
}

NOT_APPLICABLE: Final[dict[tuple[str, str], str]] = {
    ("counter-clone", REAL): "a real key can't be copied",
    ("bad-signature", REAL): "a real key makes no wrong signatures",
    ("attestation-refused-by-policy", REAL): "its policy names the virtual vendor's root",
    ("fingerprint-log-in", REAL): "needs a key with a fingerprint reader and a stranger's finger",
    ("u2f-enrol-and-log-in", REAL): "needs a key without CTAP2",
    ("two-keys", REAL): "uses two keys; one is chosen by --serial",
    ("typed-otp", REAL): "would overwrite slot 1 and type into whatever window has the focus",
}

STANDS_IN: Final[dict[tuple[str, str], str]] = {
    ("ssh-key-and-login", IN_PROCESS): "OpenSSH uses the key by the agent protocol; its provider needs USB",
    ("ssh-key-and-login", PCSC): "OpenSSH uses the card by the agent protocol; its libfido2 has no PC/SC",
    (
        "usual-tools",
        IN_PROCESS,
    ): "ssh-add sees the key by the agent protocol; others don't see into a process",
    ("typed-otp", PCSC): "the code is read from the key's NDEF tag, as a phone does; a card has no keyboard",
    ("hmac-unseal", PCSC): "the slot is reached by yubikit over the card; python-yubico knows USB only",
}
