"""What differs between PKCS#11 modules, as values.

A profile says only what a module cannot be asked. What it *can* be asked (mechanisms, flags) is
asked. Sources: the vendors' PKCS#11 release notes and manuals, and our own tests where `tested`.

YubiHSM 2
    Object ids are 16 bits wide and labels at most 40 bytes. PIN = four hex digits of the
    authentication key's id, then its password. The module needs a connector (`YUBIHSM_PKCS11_CONF`).
Nitrokey HSM 2 (SmartCard-HSM, through OpenSC's module)
    No Ed25519; P-256, P-384, RSA to 4096. Three wrong user PINs lock it.
YubiKey through ykcs11
    Keys live in PIV slots with fixed labels, so a label range cannot be kept: use `hsm.piv`.
    ykcs11 2.2 knows neither Ed25519 nor RSA-3072, and a card that holds one cannot be listed by it.
tpm2-pkcs11
    P-256, P-384 and RSA-2048 as the TPM has them; Ed25519 in no TPM. Its store is a SQLite file.
SoftHSM 2
    Software; never locks a PIN, only raises the "count low" flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from hsm.algorithm import Algorithm


class ProfileName(StrEnum):
    """The names a configuration may give."""

    GENERIC = "generic"
    SOFTHSM = "softhsm"
    YUBIHSM2 = "yubihsm2"
    NITROKEY_HSM = "nitrokey-hsm"
    TPM2 = "tpm2-pkcs11"


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """A module's ways.

    `id_size`: bytes of CKA_ID that it keeps. `label_size`: bytes of CKA_LABEL. `algorithms`: what
    may be tried, before the module's mechanisms are looked at. `private_flag`: whether it takes
    CKA_PRIVATE in a template. `hardware`: whether keys sit in hardware, None where the token says.
    """

    name: ProfileName
    id_size: int = 16
    label_size: int = 64
    algorithms: frozenset[Algorithm] = frozenset(Algorithm)
    private_flag: bool = True
    hardware: bool | None = None
    tested: bool = False


_NO_EDWARDS = frozenset(Algorithm) - {Algorithm.ED25519}

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(name=ProfileName.GENERIC),
        Profile(name=ProfileName.SOFTHSM, hardware=False, tested=True),
        Profile(name=ProfileName.YUBIHSM2, id_size=2, label_size=40, private_flag=False, hardware=True),
        Profile(name=ProfileName.NITROKEY_HSM, algorithms=_NO_EDWARDS, hardware=True),
        Profile(
            name=ProfileName.TPM2,
            algorithms=frozenset({Algorithm.P256, Algorithm.P384}),
            hardware=True,
        ),
    )
}
