"""A U2F key in software whose every byte is the test's to set."""

import hashlib
import json

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from authenticators.fido2.wire import encode_base64url
from tests.support.attestations import Maker


def u2f_client_data(kind, challenge, /, **more):
    members = {
        "typ": kind.value,
        "challenge": encode_base64url(challenge),
        "origin": "https://box.example",
    } | more
    return json.dumps({name: value for name, value in members.items() if value is not None}).encode()


class U2fKey:
    """One key registered for one app id."""

    def __init__(self, app_id, *, key_handle=b"key handle", maker=None):
        self.private, self.batch = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
        self.maker = maker or Maker()
        self.certificate = self.maker.leaf(self.batch.public_key())
        self.app_id, self.key_handle = app_id, key_handle
        self.point = self.private.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)

    @property
    def _app(self):
        return hashlib.sha256(self.app_id.encode()).digest()

    def registration(self, client_data):
        signed = b"\0" + self._app + hashlib.sha256(client_data).digest() + self.key_handle + self.point
        signature = self.batch.sign(signed, ec.ECDSA(hashes.SHA256()))
        head = b"\x05" + self.point + bytes([len(self.key_handle)]) + self.key_handle
        return head + self.certificate + signature

    def signature(self, client_data, *, flags=1, counter=1):
        head = bytes([flags]) + counter.to_bytes(4, "big")
        signed = self._app + head + hashlib.sha256(client_data).digest()
        return head + self.private.sign(signed, ec.ECDSA(hashes.SHA256()))

    def register(self, client_data):
        return {
            "version": "U2F_V2",
            "registrationData": encode_base64url(self.registration(client_data)),
            "clientData": encode_base64url(client_data),
        }

    def sign(self, client_data, **options):
        return {
            "keyHandle": encode_base64url(self.key_handle),
            "signatureData": encode_base64url(self.signature(client_data, **options)),
            "clientData": encode_base64url(client_data),
        }
