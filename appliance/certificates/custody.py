"""The signer in our verbs: specifications in, certificates out, its refusals as our errors."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from appliance.domain.clock import Clock
from appliance.domain.errors import Denied, Invalid, SallyportError, Sealed, Unavailable
from appliance.domain.operations.custody import TokenStatus
from appliance.domain.records import AuthorityKey, AuthorityKind
from hsm.algorithm import Algorithm
from hsm.signer import note
from hsm.signer.client import SignerClient
from hsm.signer.protocol import (
    RETRYABLE,
    Ca,
    Code,
    Option,
    SealState,
    SignCaCertificate,
    SignerError,
    SignHostCertificate,
    SignUserCertificate,
    SignX509,
    Usage,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.certificates.templates import Options, SshSpec, TlsSpec
    from hsm.signer.protocol import Issued, PublicKey

FIRST = 1
"""The generation a new cluster's keys begin with."""
AUTHORITY_LIFE = timedelta(days=3650)
"""Ten years: the life of the TLS authority's own certificate. It is rotated long before."""
USABLE: Final = {AuthorityKind.AUDIT: frozenset(note.PREFERENCE)}
"""Which algorithms a kind of key can have, where it cannot have all of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A finished certificate: SSH wire form or DER, and the serial the signer chose."""

    blob: bytes
    serial: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignerCustody:
    """Asks the signer process, which judges each request again by limits of its own."""

    client: SignerClient
    clock: Clock

    def first_key(self, kind: AuthorityKind) -> AuthorityKey:
        """Return the first key of an authority; made in the token if it is not there."""
        with _translated():
            return self._described(kind, self.client.ensure_key(Ca(kind), FIRST))

    def fresh_key(self, kind: AuthorityKind) -> AuthorityKey:
        """Make a new key, of a generation that never was: one left by an abandoned rotation is not reused."""
        with _translated():
            made = [key.generation for key in self.client.public_keys() if key.ca == Ca(kind)]
            return self._described(kind, self.client.create_key(Ca(kind), max(made, default=0) + 1))

    def check_new_keys(self, kinds: tuple[AuthorityKind, ...]) -> None:
        """Look whether the token takes a new key of each kind; raises `Sealed`, `Unavailable`."""
        with _translated():
            report = self.client.preflight()
        if not report.algorithms:
            raise Unavailable(
                f"{report.model} has none of the algorithms that are used here: nothing was changed"
            )
        for kind in kinds:
            if not USABLE.get(kind, frozenset(Algorithm)) & set(report.algorithms):
                offered = ", ".join(report.algorithms)
                raise Unavailable(f"{report.model} has only {offered}, of which none can be the {kind} key")
        if report.free_slots is not None and report.free_slots < len(kinds):
            raise Unavailable(
                f"{report.model} has {report.free_slots or 'no'} free place{'s'[: report.free_slots != 1]}"
                f" and {len(kinds)} would be needed: nothing was changed"
            )

    def check_keys_in_use(self, keys: Iterable[tuple[AuthorityKind, int]]) -> None:
        """Look whether the token has the keys of those generations; raises `Sealed`, `Unavailable`."""
        with _translated():
            problems = self.client.preflight().problems
        missing = [
            said for kind, generation in keys if (said := missing_key(Ca(kind), generation)) in problems
        ]
        if missing:
            raise KeysMissing(f"{'; '.join(missing)}. Is it the right token?")

    def _described(self, kind: AuthorityKind, key: PublicKey) -> AuthorityKey:
        now = self.clock.now()
        tls = kind is AuthorityKind.TLS
        return AuthorityKey(
            generation=key.generation,
            public_key=key.public_key,
            certificate=self._self_signed(key.generation, now) if tls else b"",
            created_at=now,
        )

    def sign_ssh(self, spec: SshSpec, generation: int) -> Signed:
        """Make and sign an SSH certificate."""
        with _translated():
            if spec.authority is AuthorityKind.HOST:
                return _signed(self.client.sign_host_certificate(_host_request(spec, generation)))
            return _signed(self.client.sign_user_certificate(_user_request(spec, generation)))

    def sign_tls(self, spec: TlsSpec, generation: int) -> Signed:
        """Make and sign an X.509 certificate."""
        request = SignX509(
            generation=generation,
            public_key=spec.public_key,
            usages=(Usage.SERVER,) if spec.server else (Usage.CLIENT,),
            common_name=spec.common_name,
            valid_after=_seconds(spec.valid_after),
            valid_before=_seconds(spec.valid_before),
            dns_names=spec.dns_names,
            ip_addresses=spec.ip_addresses,
            uris=(spec.uri,) if spec.uri else (),
            lane=spec.common_name,
        )
        with _translated():
            return _signed(self.client.sign_x509(request))

    def status(self) -> TokenStatus:
        """Describe the token."""
        with _translated():
            report, keys = self.client.status(), self.client.public_keys()
            sealed = report.state is not SealState.OPEN
            probe = None if sealed else self.client.preflight()
        return TokenStatus(
            provider=probe.model if probe else "unknown while sealed",
            sealed=sealed,
            software=not probe.hardware if probe else False,
            description=report.reason or str(report.state),
            keys=tuple(f"{key.ca}/{key.generation} {key.algorithm}" for key in keys),
            mechanisms=probe.mechanisms if probe else (),
        )

    def _self_signed(self, generation: int, now: datetime) -> bytes:
        request = SignCaCertificate(
            generation=generation,
            valid_after=_seconds(now) - 60,
            valid_before=_seconds(now + AUTHORITY_LIFE),
        )
        return self.client.sign_ca_certificate(request).certificate


class KeysMissing(Unavailable):
    """The token is there, and is not the one whose keys this cluster uses."""


def missing_key(ca: Ca, generation: int) -> str:
    """Return the problem the signer's preflight names for a key that its ledger knows and the token lacks."""
    return f"the {ca} key {generation} is not on the token"


def _user_request(spec: SshSpec, generation: int) -> SignUserCertificate:
    return SignUserCertificate(
        ca=Ca(spec.authority),
        generation=generation,
        public_key=spec.public_key,
        key_id=spec.key_id,
        principals=spec.principals,
        valid_after=_seconds(spec.valid_after),
        valid_before=_seconds(spec.valid_before),
        critical_options=_options(spec.critical_options),
        extensions=_options(spec.extensions),
        lane=spec.key_id,
    )


def _host_request(spec: SshSpec, generation: int) -> SignHostCertificate:
    return SignHostCertificate(
        generation=generation,
        public_key=spec.public_key,
        key_id=spec.key_id,
        principals=spec.principals,
        valid_after=_seconds(spec.valid_after),
        valid_before=_seconds(spec.valid_before),
    )


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())


def _options(options: Options) -> tuple[Option, ...]:
    return tuple(Option(name=name, value=value) for name, value in options)


def _signed(issued: Issued) -> Signed:
    return Signed(blob=issued.certificate, serial=issued.serial)


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except SignerError as error:
        raise _our_error(error) from error


def _our_error(error: SignerError) -> SallyportError:
    if error.code is Code.SEALED:
        return Sealed("the token is sealed: somebody has to unseal it at the console")
    if error.code is Code.MALFORMED:
        return Invalid(f"the signer does not take this: {error}")
    if error.code in RETRYABLE or error.code in {Code.TOKEN_FAULT, Code.LEDGER}:
        return Unavailable(f"the signer can't sign now: {error}")
    return Denied(f"signer: {error}", message="the signer refused this certificate")
