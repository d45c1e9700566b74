"""authenticatorGetAssertion and authenticatorGetNextAssertion (CTAP 2.1, sections 6.2 and 6.3)."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from authenticators.virtual.fido.credential import CredentialSource, open_credential
from authenticators.virtual.fido.request import Members
from authenticators.virtual.fido.response import authenticator_data
from authenticators.virtual.fido.session import Permission
from authenticators.virtual.fido.status import Refusal, Status
from authenticators.virtual.fido.verification import Proof, gather_evidence, probe_for_pin, require_touch
from authenticators.virtual.state import ResidentCredential

if TYPE_CHECKING:
    from collections.abc import Iterator

    from authenticators.virtual.fido.session import Session
    from authenticators.virtual.interaction import Steps
    from authenticators.virtual.key import VirtualKey

SALT: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class GetAssertion:
    """The request, parsed."""

    rp_id: str
    client_data_hash: bytes
    allow: tuple[bytes, ...]
    extensions: Members
    user_presence: bool
    proof: Proof

    @classmethod
    def parse(cls, request: Members, key: VirtualKey) -> GetAssertion:
        """Return the request; raises `Refusal`."""
        options = request.within(5)
        if options.option("rk") is not None:
            raise Refusal(Status.UNSUPPORTED_OPTION)
        return cls(
            rp_id=request.required(1, str),
            client_data_hash=request.required(2, bytes),
            allow=tuple(entry.required("id", bytes) for entry in request.each(3)),
            extensions=request.within(4),
            user_presence=options.option("up") is not False,
            proof=Proof.parse(request, mac=6, protocol=7, key=key),
        )

    @property
    def rp_id_hash(self) -> bytes:
        """SHA-256 of the relying party's id."""
        return hashlib.sha256(self.rp_id.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A credential that may answer."""

    credential_id: bytes
    source: CredentialSource
    passkey: ResidentCredential | None


def get_assertion(session: Session, request: Members) -> Steps[dict[int, Any]]:
    """Return the response map of the newest credential; the others wait for getNextAssertion."""
    key = session.key
    yield from probe_for_pin(session, request.optional(6, bytes))
    asked = GetAssertion.parse(request, key)
    if asked.user_presence:
        yield from key.begin_operation()
    evidence = yield from gather_evidence(
        session, asked.proof, Permission.GET_ASSERTION, asked.client_data_hash, asked.rp_id
    )
    candidates = list(_candidates(key, asked, verified=evidence.verified))
    if not candidates:
        raise Refusal(Status.NO_CREDENTIALS)
    if asked.user_presence and not evidence.present:
        yield from require_touch(key)
    outputs = [_secrets(session, asked, entry, verified=evidence.verified) for entry in candidates]
    if asked.user_presence:
        session.spend_token()
    answers = _answers(key, asked, candidates, outputs, verified=evidence.verified)
    first = next(answers)
    session.next_assertions = answers
    return first if len(candidates) == 1 else {**first, 5: len(candidates)}


def get_next_assertion(session: Session) -> dict[int, Any]:
    """Return the next of the credentials found; raises `Refusal` when there is none."""
    answer = next(session.next_assertions, None)
    if answer is None:
        raise Refusal(Status.NOT_ALLOWED)
    return answer


def _candidates(key: VirtualKey, asked: GetAssertion, *, verified: bool) -> Iterator[Candidate]:
    kept = {entry.credential_id: entry for entry in reversed(key.state.fido.resident)}
    for credential_id in asked.allow or kept:
        source = open_credential(key.state.fido.master_key, credential_id, asked.rp_id_hash)
        if source is None or (source.resident and credential_id not in kept):
            continue
        if source.protection <= (2 if asked.allow else 1) or verified:
            yield Candidate(credential_id=credential_id, source=source, passkey=kept.get(credential_id))
            if asked.allow:
                return


def _answers(
    key: VirtualKey,
    asked: GetAssertion,
    candidates: list[Candidate],
    outputs: list[dict[str, Any]],
    *,
    verified: bool,
) -> Iterator[dict[int, Any]]:
    named = verified and len(candidates) > 1
    for candidate, extensions in zip(candidates, outputs, strict=True):
        data = authenticator_data(
            rp_id_hash=asked.rp_id_hash,
            counter=key.next_signature_counter(),
            user_present=asked.user_presence,
            user_verified=verified,
            extensions=extensions,
        )
        answer: dict[int, Any] = {
            1: {"id": candidate.credential_id, "type": "public-key"},
            2: data,
            3: key.spoil(candidate.source.sign(data + asked.client_data_hash)),
        }
        yield (
            answer
            if candidate.passkey is None
            else {**answer, 4: user_entity(candidate.passkey, named=named)}
        )


def user_entity(passkey: ResidentCredential, *, named: bool) -> dict[str, Any]:
    """Return the user of a passkey; names only for a verified user who has to choose."""
    user: dict[str, Any] = {"id": passkey.user_id}
    if named and passkey.user_name is not None:
        user["name"] = passkey.user_name
    if named and passkey.user_display_name is not None:
        user["displayName"] = passkey.user_display_name
    return user


def _secrets(session: Session, asked: GetAssertion, entry: Candidate, *, verified: bool) -> dict[str, Any]:
    """Answer the hmac-secret extension (section 12.5): salts in and outputs out are encrypted."""
    if "hmac-secret" not in asked.extensions.values:
        return {}
    wanted = asked.extensions.within("hmac-secret")
    protocol = session.protocol(wanted.optional(4, int) or 1)
    secret = protocol.decapsulate(Members(wanted.required(1, dict)))
    encrypted = wanted.required(2, bytes)
    if not protocol.verify(secret, encrypted, wanted.required(3, bytes)):
        raise Refusal(Status.PIN_AUTH_INVALID)
    salts = protocol.decrypt(secret, encrypted)
    if len(salts) not in {SALT, 2 * SALT}:
        raise Refusal(Status.INVALID_LENGTH)
    chunks = (salts[:SALT], salts[SALT:])
    outputs = b"".join(entry.source.hmac_secret(salt, user_verified=verified) for salt in chunks if salt)
    return {"hmac-secret": protocol.encrypt(secret, outputs)}
