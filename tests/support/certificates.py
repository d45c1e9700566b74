"""Requests as tests want them: right in everything but what the test changes."""

from __future__ import annotations

import time
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.encoding import public_key
from hsm.signer.protocol import Ca, Option, SignHostCertificate, SignUserCertificate, SignX509, Usage

SOURCE = Option(name="source-address", value="127.0.0.1/32")


def now():
    """The seconds that the signer under test sees too."""
    return int(time.time())  # noqa: TID251


def subject():
    """A fresh key to be certified."""
    return public_key.dump(ed25519.Ed25519PrivateKey.generate().public_key())


def user_request(**changes):
    request = SignUserCertificate(
        ca=Ca.USER,
        generation=1,
        public_key=subject(),
        key_id="joe",
        principals=("joe", "root"),
        valid_after=now() - 60,
        valid_before=now() + 3600,
        extensions=(Option(name="permit-pty"),),
    )
    return replace(request, **changes)


def session_request(**changes):
    settings = {
        "ca": Ca.OPENSSH,
        "principals": ("joe",),
        "valid_before": now() + 120,
        "critical_options": (SOURCE,),
    }
    return user_request(**{**settings, **changes})


def host_request(**changes):
    request = SignHostCertificate(
        generation=1,
        public_key=subject(),
        key_id="node:web1",
        principals=("web1.main", "10.0.0.7", "fd00::7"),
        valid_after=now() - 60,
        valid_before=now() + 86400,
    )
    return replace(request, **changes)


def x509_request(**changes):
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    request = SignX509(
        generation=1,
        public_key=key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        usages=(Usage.SERVER,),
        common_name="localhost",
        dns_names=("localhost",),
        ip_addresses=("127.0.0.1",),
        valid_after=now() - 60,
        valid_before=now() + 86400,
    )
    return replace(request, **changes)
