"""The cluster's keys: made in the token once, read from the store ever after."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cryptography import x509

from appliance.broker.ports import Custody, Trail
from appliance.broker.state import State
from appliance.certificates.custody import KeysMissing
from appliance.domain.errors import Sealed, Unavailable
from appliance.domain.events import Event, EventName
from appliance.domain.operations import custody as messages
from appliance.domain.records import Authority, AuthorityKey, AuthorityKind, Certificate
from hsm.encoding import public_key

if TYPE_CHECKING:
    from appliance.domain.operations.operation import Nothing

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorities:
    """Which keys sign, and which are trusted."""

    state: State
    custody: Custody
    trail: Trail
    cluster: str

    def establish(self) -> None:
        """Make the keys that are missing, and look for those in use. Safe to call at every start.

        The token is looked at before anything changes: raises `Sealed` or `Unavailable` where keys are
        missing and it cannot make them all, and `Unavailable` where it is not the token of this cluster.
        A token that is sealed or away stops no start over existing keys.
        """
        found = {kind: self.state.authorities.find(kind) for kind in AuthorityKind}
        missing = tuple(kind for kind, stored in found.items() if stored is None)
        if missing:
            self.custody.check_new_keys(missing)
        self._look_for(tuple(stored.value for stored in found.values() if stored is not None))
        for kind in missing:
            self._create(kind)

    def _look_for(self, authorities: tuple[Authority, ...]) -> None:
        try:
            self.custody.check_keys_in_use((one.kind, one.signing.generation) for one in authorities)
        except KeysMissing:
            raise
        except (Sealed, Unavailable) as error:
            log.warning("the token's keys can't be looked at now: %s", error)

    def _create(self, kind: AuthorityKind) -> None:
        self.trail.record(Event(name=EventName.AUTHORITY_CREATE, detail={"authority": str(kind)}))
        key = self.custody.first_key(kind)
        self.record_own(key)
        self.state.authorities.create(Authority(kind=kind, signing=key, trusted=(key,)))

    def record_own(self, key: AuthorityKey) -> None:
        """Put the TLS authority's own certificate into the register, as every other."""
        if not key.certificate:
            return
        own = x509.load_der_x509_certificate(key.certificate)
        self.state.certificates.put(
            Certificate(
                serial=own.serial_number,
                authority=AuthorityKind.TLS,
                key_id=own.subject.rfc4514_string(),
                principals=(),
                subject_key=public_key.fingerprint(key.public_key),
                valid_after=own.not_valid_before_utc,
                valid_before=own.not_valid_after_utc,
                issued_at=key.created_at,
                signed_digest=hashlib.sha256(own.tbs_certificate_bytes).hexdigest(),
            )
        )

    def signing(self, kind: AuthorityKind) -> AuthorityKey:
        """Return the key that signs now."""
        return self.state.authorities.get(kind).value.signing

    def trusted(self, kind: AuthorityKind) -> tuple[bytes, ...]:
        """Return the public keys that verifiers accept, SSH wire form."""
        return tuple(key.public_key for key in self.state.authorities.get(kind).value.trusted)

    def trusted_keys(self, kind: AuthorityKind) -> tuple[AuthorityKey, ...]:
        """Return the keys that verifiers accept, with their generations."""
        return self.state.authorities.get(kind).value.trusted

    def openssh_lines(self, kind: AuthorityKind) -> str:
        """Return the trusted public keys, a line each, in OpenSSH form."""
        return "".join(public_key.openssh_line(key) + "\n" for key in self.trusted(kind))

    def tls_certificate(self) -> bytes:
        """Return the TLS authority's own certificate, DER."""
        return self.state.authorities.get(AuthorityKind.TLS).value.signing.certificate

    def tls_certificates(self) -> tuple[bytes, ...]:
        """Return the certificates of all TLS authorities trusted now, DER."""
        trusted = self.state.authorities.get(AuthorityKind.TLS).value.trusted
        return tuple(key.certificate for key in trusted)

    def list(self, identity: object, request: Nothing) -> messages.AuthorityList:
        """Return every authority's trusted keys."""
        del identity, request
        views = []
        for kind in AuthorityKind:
            authority = self.state.authorities.get(kind).value
            views += [
                messages.AuthorityView(
                    kind=kind,
                    fingerprint=public_key.fingerprint(key.public_key),
                    public_key=public_key.openssh_line(key.public_key),
                    certificate=key.certificate,
                    signing=key == authority.signing,
                    created_at=key.created_at,
                )
                for key in authority.trusted
            ]
        return messages.AuthorityList(cluster=self.cluster, authorities=tuple(views))

    def token(self, identity: object, request: Nothing) -> messages.TokenStatus:
        """Return the token as the signer sees it."""
        del identity, request
        return self.custody.status()
