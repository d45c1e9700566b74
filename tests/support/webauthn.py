"""A forger of WebAuthn responses: every byte can be set; signatures are right unless asked otherwise."""

import hashlib
import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from fido2 import cbor
from fido2.cose import ES256

from authenticators.fido2.relying_party import RelyingParty, User
from authenticators.fido2.wire import encode_base64url

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
ORIGIN = "https://box.example:3080"
RP = RelyingParty(rp_id="box.example", name="Sallyport", origins=frozenset({ORIGIN}))
JOE = User(handle=b"joe-handle", name="joe", display_name="Joe")
ANN = User(handle=b"ann-handle", name="ann", display_name="Ann")

UP, UV, BE, BS, AT, ED = 0x01, 0x04, 0x08, 0x10, 0x40, 0x80


def client_data(kind, challenge, /, *, origin=ORIGIN, **more):
    """Return client data as a browser writes it; `more` adds or replaces members, None drops one."""
    members = {
        "type": f"webauthn.{kind}",
        "challenge": encode_base64url(challenge),
        "origin": origin,
        "crossOrigin": False,
    } | more
    kept = {name: value for name, value in members.items() if value is not None}
    return json.dumps(kept, separators=(",", ":")).encode()


def auth_data(rp_id="box.example", flags=UP | UV, counter=1, tail=b""):
    return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + counter.to_bytes(4, "big") + tail


@dataclass(frozen=True, kw_only=True)
class ForgedKey:
    """One ES256 credential whose owner does as the test says."""

    private: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )
    credential_id: bytes = b"credential-of-joe"
    aaguid: bytes = bytes(range(16))
    cose: bytes | None = None

    @property
    def public_cose(self):
        return self.cose or cbor.encode(ES256.from_cryptography_key(self.private.public_key()))

    @property
    def attested(self):
        length = len(self.credential_id).to_bytes(2, "big")
        return self.aaguid + length + self.credential_id + self.public_cose

    def sign(self, data):
        return self.private.sign(data, ec.ECDSA(hashes.SHA256()))

    def register(self, challenge, /, *, raw=None, data=None, flags=UP | UV | AT, rp_id="box.example", **more):
        raw = raw if raw is not None else client_data("create", challenge, **more)
        data = data if data is not None else auth_data(rp_id, flags, 0, self.attested)
        statement = {"fmt": "none", "attStmt": {}, "authData": data}
        return envelope(
            self.credential_id,
            clientDataJSON=raw,
            attestationObject=cbor.encode(statement),
        )

    def authenticate(
        self,
        challenge,
        /,
        *,
        raw=None,
        data=None,
        flags=UP | UV,
        counter=1,
        rp_id="box.example",
        user_handle=JOE.handle,
        signature=None,
        **more,
    ):
        raw = raw if raw is not None else client_data("get", challenge, **more)
        data = data if data is not None else auth_data(rp_id, flags, counter)
        signed = self.sign(data + hashlib.sha256(raw).digest())
        answer = envelope(
            self.credential_id,
            clientDataJSON=raw,
            authenticatorData=data,
            signature=signed if signature is None else signature,
        )
        if user_handle is not None:
            answer["response"]["userHandle"] = encode_base64url(user_handle)
        return answer


def envelope(credential_id, **response):
    name = encode_base64url(credential_id)
    return {
        "id": name,
        "rawId": name,
        "type": "public-key",
        "response": {key: encode_base64url(value) for key, value in response.items()},
        "clientExtensionResults": {},
    }


def enrolled(key, *, rp=RP, user=JOE, flags=UP | UV | AT, sign_count=0):
    """Return the stored credential of a key after an honest registration."""
    _, state = rp.begin_registration(user=user, now=NOW)
    registered = rp.complete_registration(state, key.register(state.challenge, flags=flags), now=NOW)
    return replace(registered.credential, sign_count=sign_count)
