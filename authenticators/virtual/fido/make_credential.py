"""authenticatorMakeCredential (CTAP 2.1, section 6.1)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from authenticators.virtual.fido.credential import SEED, CredentialSource, open_credential
from authenticators.virtual.fido.request import Members, typed
from authenticators.virtual.fido.response import AttestedCredential, attestation_statement, authenticator_data
from authenticators.virtual.fido.session import Permission
from authenticators.virtual.fido.status import Refusal, Status
from authenticators.virtual.fido.verification import (
    Evidence,
    Proof,
    gather_evidence,
    probe_for_pin,
    require_touch,
)
from authenticators.virtual.state import ResidentCredential

if TYPE_CHECKING:
    from authenticators.virtual.fido.session import Session
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

HIGHEST_PROTECTION: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeCredential:
    """The request, parsed."""

    client_data_hash: bytes
    rp: Members
    user: Members
    algorithm: int
    exclude: tuple[bytes, ...]
    extensions: Members
    resident: bool
    proof: Proof

    @classmethod
    def parse(cls, request: Members, key: VirtualKey) -> MakeCredential:
        """Return the request; raises `Refusal`."""
        options = request.within(7)
        if options.option("up") is False:
            raise Refusal(Status.INVALID_OPTION)
        if options.option("rk") and not key.profile.resident_slots:
            raise Refusal(Status.UNSUPPORTED_OPTION)
        return cls(
            client_data_hash=request.required(1, bytes),
            rp=Members(request.required(2, dict)),
            user=Members(request.required(3, dict)),
            algorithm=_algorithm(request.required(4, list), key.profile.algorithms),
            exclude=tuple(entry.required("id", bytes) for entry in request.each(5)),
            extensions=request.within(6),
            resident=bool(options.option("rk")),
            proof=Proof.parse(request, mac=8, protocol=9, key=key),
        )

    @property
    def rp_id(self) -> str:
        """The relying party's id."""
        return self.rp.required("id", str)

    @property
    def rp_id_hash(self) -> bytes:
        """SHA-256 of the relying party's id."""
        return hashlib.sha256(self.rp_id.encode()).digest()

    @property
    def protection(self) -> int:
        """The credProtect level asked for (section 12.1), 1 without one."""
        level = self.extensions.optional("credProtect", int)
        if level is not None and not 1 <= level <= HIGHEST_PROTECTION:
            raise Refusal(Status.INVALID_OPTION)
        return level or 1


def make_credential(session: Session, request: Members) -> Steps[dict[int, Any]]:
    """Return the response map; raises `Refusal`."""
    key = session.key
    yield from probe_for_pin(session, request.optional(8, bytes))
    asked = MakeCredential.parse(request, key)
    yield from key.begin_operation()
    evidence = yield from gather_evidence(
        session, asked.proof, Permission.MAKE_CREDENTIAL, asked.client_data_hash, asked.rp_id
    )
    _require_verification(key, asked, evidence)
    yield from _refuse_excluded(key, asked, evidence)
    if not evidence.present:
        yield from require_touch(key)
    session.spend_token()
    return _create(key, asked, verified=evidence.verified)


def _require_verification(key: VirtualKey, asked: MakeCredential, evidence: Evidence) -> None:
    protected = key.state.fido.pin_hash is not None or key.profile.built_in_uv
    optional = key.profile.ctap21 and not asked.resident
    if protected and not optional and not evidence.verified:
        raise Refusal(Status.PUAT_REQUIRED)


def _refuse_excluded(key: VirtualKey, asked: MakeCredential, evidence: Evidence) -> Steps[None]:
    for credential_id in asked.exclude:
        source = open_credential(key.state.fido.master_key, credential_id, asked.rp_id_hash)
        if source and (source.protection < HIGHEST_PROTECTION or evidence.verified):
            yield from require_touch(key)
            raise Refusal(Status.CREDENTIAL_EXCLUDED)


def _create(key: VirtualKey, asked: MakeCredential, *, verified: bool) -> dict[int, Any]:
    source = CredentialSource(
        algorithm=asked.algorithm,
        seed=key.entropy(SEED),
        resident=asked.resident,
        protection=asked.protection,
    )
    credential_id = source.seal(key.state.fido.master_key, asked.rp_id_hash, key.entropy)
    if asked.resident:
        _keep(key, asked, credential_id)
    data = authenticator_data(
        rp_id_hash=asked.rp_id_hash,
        counter=key.next_signature_counter(),
        user_present=True,
        user_verified=verified,
        attested=AttestedCredential(
            aaguid=key.profile.aaguid, credential_id=credential_id, public_key=source.public_key()
        ),
        extensions=_extension_outputs(asked),
    )
    format_, statement = attestation_statement(key.profile, source, data + asked.client_data_hash)
    if "sig" in statement:
        statement["sig"] = key.spoil(statement["sig"])
    return {1: format_, 2: data, 3: statement}


def _keep(key: VirtualKey, asked: MakeCredential, credential_id: bytes) -> None:
    fido = key.state.fido
    passkey = ResidentCredential(
        credential_id=credential_id,
        rp_id=asked.rp_id,
        rp_name=asked.rp.optional("name", str) or asked.rp_id,
        user_id=asked.user.required("id", bytes),
        user_name=asked.user.optional("name", str),
        user_display_name=asked.user.optional("displayName", str),
    )
    others = tuple(
        kept for kept in fido.resident if (kept.rp_id, kept.user_id) != (passkey.rp_id, passkey.user_id)
    )
    if len(others) >= key.profile.resident_slots:
        raise Refusal(Status.KEY_STORE_FULL)
    key.update(fido=replace(fido, resident=(*others, passkey)))


def _extension_outputs(asked: MakeCredential) -> dict[str, Any]:
    outputs: dict[str, Any] = {}
    if "credProtect" in asked.extensions.values:
        outputs["credProtect"] = asked.protection
    if asked.extensions.option("hmac-secret"):
        outputs["hmac-secret"] = True
    return outputs


def _algorithm(parameters: list[Any], known: tuple[int, ...]) -> int:
    for entry in parameters:
        parameter = Members(typed(entry, dict))
        if parameter.required("type", str) == "public-key" and parameter.required("alg", int) in known:
            return parameter.required("alg", int)
    raise Refusal(Status.UNSUPPORTED_ALGORITHM)
