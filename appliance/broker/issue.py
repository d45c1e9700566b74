"""Issuing: every certificate is in the audit log before it is made and in the register before it is used."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC
from typing import TYPE_CHECKING

from cryptography import x509

from appliance.broker.authorities import Authorities
from appliance.broker.ports import Clock, Custody, Trail
from appliance.broker.state import State
from appliance.certificates.custody import Signed
from appliance.certificates.templates import SshSpec
from appliance.domain.events import Event, EventName
from appliance.domain.records import AuthorityKind, Certificate
from hsm.encoding import certificate as wire
from hsm.encoding import public_key

if TYPE_CHECKING:
    from appliance.certificates.custody import Signed
    from appliance.certificates.templates import TlsSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuer:
    """The only way certificates are made."""

    state: State
    custody: Custody
    authorities: Authorities
    trail: Trail
    clock: Clock

    def ssh(self, spec: SshSpec, *, user: str = "", session: str = "") -> bytes:
        """Issue an SSH certificate and return it in wire form."""
        fingerprint = public_key.fingerprint(spec.public_key)
        self._announce(spec, {"key_id": spec.key_id, "subject_key": fingerprint}, user, session)
        signed = self.custody.sign_ssh(spec, self.authorities.signing(spec.authority).generation)
        self._register(spec, signed, fingerprint, user, session)
        return signed.blob

    def tls(self, spec: TlsSpec, *, user: str = "") -> bytes:
        """Issue an X.509 certificate and return it in DER."""
        self._announce(spec, {"key_id": spec.common_name}, user, "")
        signed = self.custody.sign_tls(spec, self.authorities.signing(AuthorityKind.TLS).generation)
        self.state.certificates.create(
            Certificate(
                serial=signed.serial,
                authority=AuthorityKind.TLS,
                key_id=spec.common_name,
                principals=(*spec.dns_names, *spec.ip_addresses),
                subject_key="",
                user=user or None,
                valid_after=spec.valid_after,
                valid_before=spec.valid_before,
                issued_at=self.clock.now(),
                signed_digest=tls_digest(signed.blob),
            )
        )
        return signed.blob

    def _announce(self, spec: SshSpec | TlsSpec, detail: dict[str, str], user: str, session: str) -> None:
        authority = spec.authority if isinstance(spec, SshSpec) else AuthorityKind.TLS
        until = spec.valid_before.astimezone(UTC).isoformat(timespec="seconds")
        self.trail.record(
            Event(
                name=EventName.CERT_CREATE,
                user=user,
                sid=session,
                detail={"authority": str(authority), "valid_before": until, **detail},
            )
        )

    def _register(self, spec: SshSpec, signed: Signed, fingerprint: str, user: str, session: str) -> None:
        self.state.certificates.create(
            Certificate(
                serial=signed.serial,
                authority=spec.authority,
                key_id=spec.key_id,
                principals=spec.principals,
                subject_key=fingerprint,
                user=user or None,
                session=session or None,
                valid_after=spec.valid_after,
                valid_before=spec.valid_before,
                issued_at=self.clock.now(),
                signed_digest=wire.signed_digest(signed.blob),
            )
        )


def tls_digest(der: bytes) -> str:
    """Return the SHA-256 (hex) of what was signed in an X.509 certificate, as the signer's ledger has it."""
    return hashlib.sha256(x509.load_der_x509_certificate(der).tbs_certificate_bytes).hexdigest()


def line(blob: bytes, comment: str = "") -> str:
    """Return a certificate as the one line of a `-cert.pub` file."""
    return wire.openssh_line(blob, comment)
