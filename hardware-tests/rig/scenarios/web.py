"""Enrolling a key with the site and logging in with it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from fido2.client import ClientError
from fido2.ctap import CtapError
from fido2.ctap1 import Ctap1
from fido2.ctap2 import Ctap2

from authenticators.errors import AttestationError, AttestationErrorCode, WebAuthnError, WebAuthnErrorCode
from authenticators.fido2.policy import AttestationPolicy
from authenticators.fido2.results import Authenticated, CloneAlarm
from authenticators.virtual.attestation import test_root
from rig.expect import expect, refused, status_of
from rig.people import ORIGIN, Person

if TYPE_CHECKING:
    from rig.bench import Bench


def enrol(bench: Bench) -> None:
    """A person registers a key; the site learns its model, and the same key can't be registered twice."""
    bench.make_key("joe")
    person = Person(bench=bench)
    with bench.plugged("joe") as key:
        device = key.fido()
        credential = person.enrol(device).credential
        expect(credential.sign_count >= 0, "a counter comes with the credential")
        info = Ctap2(device).info
        expect(credential.aaguid.bytes == info.aaguid, "the site learns the model that the key tells")
        with refused(
            ClientError, lambda error: "INELIGIBLE" in str(error), "a second registration is refused"
        ):
            person.enrol(device, exclude=[credential])


def log_in(bench: Bench) -> None:
    """A person logs in twice; the counter moves on."""
    bench.make_key("joe")
    person = Person(bench=bench)
    with bench.plugged("joe") as key:
        device = key.fido()
        credential = person.enrol(device).credential
        for _ in range(2):
            proof = person.log_in(device, [credential])
            expect(isinstance(proof, Authenticated), "the login is accepted")
            expect(proof.credential.sign_count > credential.sign_count, "the counter moves on")
            credential = proof.credential


def u2f_enrol_and_log_in(bench: Bench) -> None:
    """An old key that speaks only U2F registers and logs in."""
    bench.make_key("old", model="u2f")
    person = Person(bench=bench)
    with bench.plugged("old") as key:
        device = key.fido()
        expect(Ctap1(device).get_version() == "U2F_V2", "the key speaks U2F")
        registered = person.enrol(device)
        expect(registered.attestation_format == "fido-u2f", "the statement is a U2F one")
        expect(person.log_in(device, [registered.credential]), "the login is accepted")


def two_keys(bench: Bench) -> None:
    """Two keys of one person, both plugged in: each answers for itself, either logs in."""
    bench.make_key("first")
    bench.make_key("second")
    person = Person(bench=bench)
    with bench.plugged("first", 0) as first, bench.plugged("second", 1) as second:
        expect(first.serial != second.serial, "the keys are told apart")
        devices = (first.fido(), second.fido())
        credentials = [person.enrol(device).credential for device in devices]
        for device, own in zip(devices, credentials, strict=True):
            proof = person.log_in(device, credentials)
            expect(proof, "the login is accepted")
            expect(proof.credential.credential_id == own.credential_id, "a key signs with its own credential")
        with refused(ClientError, _ineligible, "a key knows nothing of the other's credential"):
            person.log_in(devices[0], [credentials[1]])


def touch_refused(bench: Bench) -> None:
    """Without a touch there is neither a registration nor a login."""
    bench.make_key("joe")
    person = Person(bench=bench)
    with bench.plugged("joe") as key:
        device = key.fido()
        credential = person.enrol(device).credential
        bench.misbehave("joe", "refuse-touch")
        with refused(ClientError, _denied, "an enrolment that is refused at the key fails"):
            person.enrol(device)
        bench.misbehave("joe", "nobody-touches")
        with refused(ClientError, _denied, "a login that nobody touches for fails"):
            person.log_in(device, [credential])
        bench.misbehave("joe")
        expect(person.log_in(device, [credential]), "with a touch the same key logs in")


def unplugged_in_the_middle(bench: Bench) -> None:
    """A key pulled out during a login fails that login only."""
    bench.make_key("joe")
    person = Person(bench=bench)
    with bench.plugged("joe") as key:
        device = key.fido()
        credential = person.enrol(device).credential
        bench.misbehave("joe", "unplug@0x1")
        with refused((OSError, ClientError, CtapError, _card_error()), lambda _: True, "the login fails"):
            person.log_in(device, [credential])
        bench.misbehave("joe")
        key.replug()
        expect(person.log_in(key.fido(), [credential]), "plugged in again, the key logs in")


def counter_clone(bench: Bench) -> None:
    """A copy of a key logs in until the original does; then the site sees that there are two."""
    bench.make_key("original")
    person = Person(bench=bench)
    with bench.plugged("original") as key:
        credential = person.enrol(key.fido()).credential
    bench.clone("original", "copy")
    with bench.plugged("original") as key:
        for _ in range(3):
            proof = person.log_in(key.fido(), [credential])
            expect(isinstance(proof, Authenticated), "the original logs in")
            credential = proof.credential
    with bench.plugged("copy") as key:
        proof = person.log_in(key.fido(), [credential])
        expect(isinstance(proof, CloneAlarm), "the copy raises the clone alarm")
        expect(proof.received_count <= proof.stored_count, "because its counter is behind")


def attestation_refused_by_policy(bench: Bench) -> None:
    """A site that wants a maker it trusts refuses others, now and after the policy changed."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        credential = Person(bench=bench).enrol(key.fido()).credential
    now = bench.now()
    root = test_root().der
    trusted = AttestationPolicy(allowed_cas=(root,)).evaluate(credential, metadata=None, now=now)
    expect(trusted.trusted_root == root, "a policy that trusts the maker accepts the key")
    with refused(AttestationError, _code(AttestationErrorCode.NOT_TRUSTED), "an unknown maker is refused"):
        AttestationPolicy(required=True).evaluate(credential, metadata=None, now=now)
    with refused(AttestationError, _code(AttestationErrorCode.AAGUID_DENIED), "a denied model is refused"):
        denied = AttestationPolicy(denied_aaguids=frozenset({credential.aaguid}))
        denied.evaluate(credential, metadata=None, now=now)
    with refused(AttestationError, _code(AttestationErrorCode.CA_DENIED), "a denied maker is refused"):
        AttestationPolicy(denied_cas=(root,)).evaluate(credential, metadata=None, now=now)


def bad_signature(bench: Bench) -> None:
    """A signature with one wrong bit is refused."""
    bench.make_key("joe")
    person = Person(bench=bench)
    with bench.plugged("joe") as key:
        device = key.fido()
        credential = person.enrol(device).credential
        bench.misbehave("joe", "bad-signature")
        with refused(WebAuthnError, _code(WebAuthnErrorCode.BAD_SIGNATURE), "the login is refused"):
            person.log_in(device, [credential])


def other_site(bench: Bench) -> None:
    """A credential is of no use to another site, whatever the browser says."""
    bench.make_key("joe")
    with bench.plugged("joe") as key:
        device = key.fido()
        credential = Person(bench=bench).enrol(device).credential
        allow = [{"type": "public-key", "id": credential.credential_id}]
        digest = hashlib.sha256(ORIGIN.encode()).digest()
        with refused(
            CtapError, lambda error: status_of(error) == "NO_CREDENTIALS", "the key does not answer"
        ):
            Ctap2(device).get_assertion("evil.example", digest, allow)


def _denied(error: ClientError) -> bool:
    names = {"OPERATION_DENIED", "USER_ACTION_TIMEOUT", "KEEPALIVE_CANCEL"}
    return status_of(error) in names or error.code == ClientError.ERR.TIMEOUT


def _ineligible(error: ClientError) -> bool:
    return error.code == ClientError.ERR.DEVICE_INELIGIBLE or status_of(error) == "NO_CREDENTIALS"


def _code(code: object):
    return lambda error: error.code is code


def _card_error() -> type[Exception]:
    from smartcard.Exceptions import SmartcardException  # noqa: PLC0415 - needs libpcsclite

    return SmartcardException
