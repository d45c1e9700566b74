"""The register of every certificate, and revocation that bites within seconds (mission row X9)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.broker.authorities import Authorities
from appliance.broker.ports import Clock, Trail
from appliance.broker.state import State, serial_name
from appliance.certificates import krl
from appliance.domain import names
from appliance.domain.errors import Invalid, NotFound
from appliance.domain.events import Event, EventName
from appliance.domain.operations import custody as messages
from appliance.domain.records import AuthorityKind, Certificate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.broker.callers import Identity

SSH = (AuthorityKind.USER, AuthorityKind.OPENSSH, AuthorityKind.HOST)
MAX_PAGE = 1000
MAX_REASON = 256
REVOKED = "the certificate was revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """Search, revoke, and the list that tells others."""

    state: State
    authorities: Authorities
    trail: Trail
    clock: Clock
    cluster: str

    def search(self, identity: object, request: messages.CertificatesQuery) -> messages.CertificateList:
        """Return certificates that fit, newest first."""
        del identity
        if not 1 <= request.limit <= MAX_PAGE:
            raise Invalid(f"limit: expected 1 to {MAX_PAGE}")
        if request.after_serial:
            found = sorted(self._after(request), key=lambda one: one.serial)
        else:
            found = sorted(self._fitting(request), key=lambda one: one.issued_at, reverse=True)
        return messages.CertificateList(certificates=tuple(_view(one) for one in found[: request.limit]))

    def revoke(self, identity: Identity, request: messages.CertificatesRevoke) -> messages.CertificateList:
        """Revoke what was named; sessions that stand on it end with the next pulse."""
        reason = _reason(request.reason)
        doomed = [one for one in self._named(request) if one.revoked_at is None]
        revoked = [self._revoke(one, identity.actor, reason) for one in doomed]
        return messages.CertificateList(certificates=tuple(_view(one) for one in revoked))

    def holds(self, serial: int) -> bool:
        """Whether a person's TLS certificate of this serial was issued and still stands for their account."""
        found = self.state.certificates.find(serial_name(serial))
        if (
            found is None
            or found.value.revoked_at is not None
            or found.value.authority is not AuthorityKind.TLS
        ):
            return False
        user = self.state.users.find(found.value.user) if found.value.user else None
        return user is not None and user.value.covers(found.value.issued_at)

    def krl(self, identity: object, request: messages.KrlRead) -> messages.Krl:
        """Return the key revocation list over all SSH authorities.

        Certificates that have ended are left out.
        """
        del identity, request
        now = self.clock.now()
        version, revoked = 0, dict[bytes, list[int]]()
        for one in (item.value for item in self.state.certificates.list()):
            if one.authority in SSH and one.revoked_at is not None:
                version = max(version, int(one.revoked_at.timestamp() * 1_000_000))
                if one.valid_before > now:
                    for key in self.authorities.trusted(one.authority):
                        revoked.setdefault(key, []).append(one.serial)
        data = krl.write(
            revoked, version=version, generated=int(now.timestamp()), comment=f"Sallyport {self.cluster}"
        )
        return messages.Krl(data=data, version=version)

    def _after(self, query: messages.CertificatesQuery) -> Iterator[Certificate]:
        if not query.after_serial.isascii() or not query.after_serial.isdigit():
            raise Invalid("after_serial: expected a number")
        after = int(query.after_serial)
        return (one for one in self._fitting(query) if one.serial > after)

    def _fitting(self, query: messages.CertificatesQuery) -> Iterator[Certificate]:
        now = self.clock.now()
        for one in (item.value for item in self.state.certificates.list()):
            if (
                (not query.serial or str(one.serial) == query.serial)
                and (not query.key_id or one.key_id == query.key_id)
                and (not query.principal or query.principal in one.principals)
                and (not query.user or one.user == query.user)
                and (not query.session or one.session == query.session)
                and not (query.valid_only and (one.revoked_at or one.valid_before <= now))
            ):
                yield one

    def _named(self, request: messages.CertificatesRevoke) -> list[Certificate]:
        if sum(map(bool, (request.serial, request.user, request.session))) != 1:
            raise Invalid("revoke by serial, by user, or by session: expected exactly one of the three")
        if request.user:
            names.user_name(request.user)
        found = [
            *self._fitting(
                messages.CertificatesQuery(
                    serial=request.serial,
                    user=request.user,
                    session=request.session,
                    valid_only=bool(request.user),
                )
            )
        ]
        if not found:
            raise NotFound("no certificate in the register fits that")
        return found

    def _revoke(self, one: Certificate, actor: str, reason: str) -> Certificate:
        now = self.clock.now()
        detail = {"serial": str(one.serial), "authority": str(one.authority), "reason": reason}
        target = {"target": one.user} if one.user else {}
        self.trail.record(
            Event(name=EventName.CERT_REVOKE, user=actor, sid=one.session or "", detail={**detail, **target})
        )

        def mark(current: Certificate) -> Certificate:
            if current.revoked_at is not None:
                return current
            return replace(current, revoked_at=now, revoked_by=actor, revoke_reason=reason)

        if one.session:
            self._stop(one.session)
        return self.state.certificates.modify(serial_name(one.serial), mark).value

    def _stop(self, session: str) -> None:
        """End a session by its own certificate, which lives for two minutes while the session goes on."""
        if self.state.sessions.find(session) is not None:
            self.state.sessions.modify(session, lambda one: replace(one, stop_reason=REVOKED))


def _reason(text: str) -> str:
    if len(text) > MAX_REASON:
        raise Invalid(f"reason: at most {MAX_REASON} characters")
    return text


def _view(one: Certificate) -> messages.CertificateView:
    return messages.CertificateView(
        serial=str(one.serial),
        authority=one.authority,
        key_id=one.key_id,
        principals=one.principals,
        subject_key=one.subject_key,
        user=one.user or "",
        session=one.session or "",
        valid_after=one.valid_after,
        valid_before=one.valid_before,
        issued_at=one.issued_at,
        revoked_at=one.revoked_at,
        revoked_by=one.revoked_by,
        revoke_reason=one.revoke_reason,
        signed_digest=one.signed_digest,
    )
