"""Rotation, register and revocation, as use cases over a real signer."""

import itertools
import subprocess
from dataclasses import replace
from datetime import timedelta

import pytest

from appliance.broker.callers import Console, Person
from appliance.certificates.custody import KeysMissing, SignerCustody
from appliance.client.person.home import fresh_keys
from appliance.domain.errors import Denied, Invalid, NotFound, Sealed, Unavailable
from appliance.domain.operations import custody, nodes, ssh
from appliance.domain.records import AuthorityKind, RotationPhase
from hsm.signer.protocol import Ca, Code, SignerError
from tests.support.hand_clock import HandClock
from tests.support.signer import running_signer

Phase = RotationPhase
ROTATED = [AuthorityKind.USER, AuthorityKind.OPENSSH, AuthorityKind.HOST, AuthorityKind.TLS]
ALL = (Phase.INIT, Phase.UPDATE_CLIENTS, Phase.UPDATE_SERVERS, Phase.STANDBY)


def rotate(box, kind, phase, grace=0):
    return box.console("rotation.go", custody.Rotate(kind=kind, phase=phase, grace_seconds=grace))


def authority(box, kind):
    return box.state.authorities.get(kind).value


def search(box, **query):
    return box.console("certificates.list", custody.CertificatesQuery(**query)).certificates


def revoke(box, **what):
    return box.console("certificates.revoke", custody.CertificatesRevoke(**what)).certificates


# -- rotation


@pytest.mark.parametrize("kind", ROTATED)
def test_a_rotation_by_hand_makes_one_new_key_and_drops_the_old_one_at_its_end(box, kind):
    old = authority(box, kind).signing
    for phase in ALL:
        rotate(box, kind, phase)
    now = authority(box, kind)
    assert now.signing.generation > old.generation
    assert now.trusted == (now.signing,)
    assert old.public_key in {key.public_key for key in box.ground.custody.client.public_keys()}


@pytest.mark.parametrize("kind", ROTATED)
@pytest.mark.parametrize("reached", [1, 2, 3])
def test_a_rolled_back_rotation_signs_and_trusts_as_before(box, kind, reached):
    before = authority(box, kind)
    for phase in (*ALL[:reached], Phase.ROLLBACK, Phase.STANDBY):
        rotate(box, kind, phase)
    after = authority(box, kind)
    assert (after.signing, after.trusted, after.phase) == (before.signing, before.trusted, Phase.STANDBY)


def test_the_key_of_an_abandoned_rotation_is_never_taken_up_again(box):
    rotate(box, AuthorityKind.USER, Phase.INIT)
    abandoned = authority(box, AuthorityKind.USER).trusted[-1]
    rotate(box, AuthorityKind.USER, Phase.ROLLBACK)
    rotate(box, AuthorityKind.USER, Phase.STANDBY)
    rotate(box, AuthorityKind.USER, Phase.INIT)
    assert authority(box, AuthorityKind.USER).trusted[-1].generation > abandoned.generation


def test_a_rotation_on_a_timer_goes_on_by_itself_phase_by_phase(box):
    rotate(box, AuthorityKind.USER, Phase.INIT, grace=3600)
    seen = []
    for _ in range(4):
        box.clock.forward(seconds=3599)
        box.rooms.rotation.tick()
        before = authority(box, AuthorityKind.USER).phase
        box.clock.forward(seconds=1)
        box.rooms.rotation.tick()
        seen.append((before, authority(box, AuthorityKind.USER).phase))
    assert seen[:3] == list(itertools.pairwise(ALL))
    assert seen[3] == (Phase.STANDBY, Phase.STANDBY)
    assert [event["user"] for event in box.events("cert_authority.rotate")[-3:]] == ["timer"] * 3


def test_a_rotation_on_a_timer_can_be_rolled_back_by_hand_and_then_rests(box):
    before = authority(box, AuthorityKind.USER).signing
    rotate(box, AuthorityKind.USER, Phase.INIT, grace=60)
    box.clock.forward(seconds=60)
    box.rooms.rotation.tick()
    rotate(box, AuthorityKind.USER, Phase.ROLLBACK)
    box.clock.forward(days=1)
    box.rooms.rotation.tick()
    after = authority(box, AuthorityKind.USER)
    assert (after.phase, after.signing, after.trusted) == (Phase.STANDBY, before, (before,))


def test_the_audit_key_and_a_late_grace_are_refused(box):
    with pytest.raises(Invalid, match="audit key is not rotated"):
        rotate(box, AuthorityKind.AUDIT, Phase.INIT)
    rotate(box, AuthorityKind.USER, Phase.INIT)
    with pytest.raises(Invalid, match="when it begins"):
        rotate(box, AuthorityKind.USER, Phase.UPDATE_CLIENTS, grace=60)


def test_a_person_signed_in_before_stays_in_until_the_old_key_is_dropped(box):
    joe = box.certified(box.sign_up())
    box.add_node()
    for phase in ALL[:3]:
        rotate(box, AuthorityKind.USER, phase)
        assert isinstance(box.connect(joe), ssh.SessionApproved), phase
    rotate(box, AuthorityKind.USER, Phase.STANDBY)
    assert not isinstance(box.connect(joe), ssh.SessionApproved)
    assert isinstance(box.connect(box.certified(joe)), ssh.SessionApproved)


def test_the_bastion_is_certified_anew_as_soon_as_another_host_key_signs(box):
    request = ssh.ProxyRegister(proxy_id="one", host_key=fresh_keys().ssh_blob)
    first = box.proxy("proxy.register", request).bastion_certificate
    assert box.proxy("proxy.register", request).bastion_certificate == first
    rotate(box, AuthorityKind.HOST, Phase.INIT)
    assert box.proxy("proxy.register", request).bastion_certificate == first
    rotate(box, AuthorityKind.HOST, Phase.UPDATE_CLIENTS)
    assert box.proxy("proxy.register", request).bastion_certificate != first


# -- nodes


def bundle(box, name="web1"):
    return box.console("nodes.bundle", nodes.NodeNamed(name=name))


def test_a_node_gets_a_new_host_certificate_when_its_time_comes_and_when_the_key_changes(box):
    box.add_node()
    first = bundle(box).host_certificate
    box.clock.forward(days=200)
    assert bundle(box).host_certificate == first
    box.clock.forward(days=50)
    second = bundle(box).host_certificate
    assert second != first
    for phase in ALL[:2]:
        rotate(box, AuthorityKind.HOST, phase)
    assert bundle(box).host_certificate not in {first, second}


def test_a_node_still_gets_revocations_while_its_certificate_cannot_be_renewed(box, monkeypatch):
    box.add_node()
    before = bundle(box)

    def sealed(*_, **__):
        raise SignerError(Code.SEALED, "the signer is sealed")

    monkeypatch.setattr(box.ground.custody.client, "sign_host_certificate", sealed)
    box.clock.forward(days=300)
    after = bundle(box)
    assert after.host_certificate == before.host_certificate
    assert after.krl


# -- the register


def test_certificates_are_found_by_serial_key_id_principal_person_and_session(box):
    joe, eve = box.certified(box.sign_up("joe")), box.certified(box.sign_up("eve"))
    box.add_node()
    permit = box.connect(joe)
    assert eve.issued
    (session,) = search(box, session=permit.session)
    assert session.authority is AuthorityKind.OPENSSH
    assert search(box, serial=session.serial) == (session,)
    assert session in search(box, key_id=session.key_id)
    assert {one.user for one in search(box, user="joe")} == {"joe"}
    assert {one.user for one in search(box, principal="root")} >= {"joe", "eve"}
    assert len(search(box, limit=2)) == 2
    with pytest.raises(Invalid, match="1 to 1000"):
        search(box, limit=1001)


def test_the_register_is_read_from_end_to_end_in_pages(box):
    box.certified(box.sign_up())
    everything = {one.serial for one in search(box, limit=1000)}
    seen, after = [], "0"
    while page := search(box, after_serial=after, limit=2):
        seen += [one.serial for one in page]
        after = page[-1].serial
    assert len(seen) == len(set(seen))
    assert set(seen) == everything


def test_revocation_names_exactly_one_thing(box):
    for what in ({}, {"serial": "1", "user": "joe"}):
        with pytest.raises(Invalid, match="exactly one"):
            revoke(box, **what)
    with pytest.raises(NotFound):
        revoke(box, serial="12345")


def test_revoking_a_session_leaves_the_person_their_login(box):
    joe = box.certified(box.sign_up())
    box.add_node()
    permit = box.connect(joe)
    box.clock.forward(minutes=10)
    (done,) = revoke(box, session=permit.session, reason="laptop lost")
    pulse = box.proxy("proxy.pulse", ssh.Pulse(proxy_id="one", sessions=(permit.session,)))
    assert pulse.end == {permit.session: "the certificate was revoked"}
    assert (done.revoked_by, done.revoke_reason) == ("console:0", "laptop lost")
    assert isinstance(box.connect(joe), ssh.SessionApproved)
    (event,) = box.events("cert.revoke")
    assert (event["serial"], event["reason"]) == (done.serial, "laptop lost")


def test_revoking_a_person_shuts_ssh_and_api_and_ends_what_runs(box):
    joe = box.certified(box.sign_up())
    box.add_node()
    permit = box.connect(joe)
    tls = next(one for one in search(box, user="joe") if one.authority is AuthorityKind.TLS)
    assert box.rooms.register.holds(int(tls.serial))
    revoke(box, user="joe")
    assert not box.rooms.register.holds(int(tls.serial))
    assert not isinstance(box.connect(joe), ssh.SessionApproved)
    pulse = box.proxy("proxy.pulse", ssh.Pulse(proxy_id="one", sessions=(permit.session,)))
    assert pulse.end == {permit.session: "the certificate was revoked"}


def test_a_second_revocation_changes_nothing(box):
    box.certified(box.sign_up())
    (first, *_) = revoke(box, user="joe", reason="one")
    box.clock.forward(minutes=1)
    assert revoke(box, serial=first.serial, reason="two") == ()
    assert search(box, serial=first.serial)[0].revoke_reason == "one"


def test_nothing_is_revoked_that_the_log_does_not_take(box):
    box.certified(box.sign_up())
    box.trail.broken = True
    with pytest.raises(Unavailable):
        revoke(box, user="joe")
    box.trail.broken = False
    assert all(one.revoked_at is None for one in search(box, user="joe"))


def test_the_list_that_is_served_refuses_what_was_revoked_until_it_has_ended(box, tmp_path):
    joe = box.certified(box.sign_up())
    paper = tmp_path / "joe-cert.pub"
    paper.write_text(joe.issued.ssh_certificate)
    first = box.web("krl.read", custody.KrlRead())
    revoke(box, user="joe")
    second = box.web("krl.read", custody.KrlRead())
    assert second.version > first.version

    def refused(data):
        (tmp_path / "krl").write_bytes(data)
        command = ["ssh-keygen", "-Q", "-f", str(tmp_path / "krl"), str(paper)]
        return subprocess.run(command, capture_output=True, check=False).stdout.endswith(b"REVOKED\n")

    assert not refused(first.data)
    assert refused(second.data)
    box.clock.forward(days=2)
    third = box.web("krl.read", custody.KrlRead())
    assert third.version == second.version
    assert len(third.data) < len(second.data)


# -- identities


def sign(box, identity, user="joe", ttl=None):
    keys = fresh_keys()
    request = custody.IdentitySign(
        user=user, ssh_public_key=keys.ssh_blob, tls_public_key=keys.tls_public, ttl_seconds=ttl
    )
    return box.call(identity, "identities.sign", request)


def as_person(box, user="joe", left=None):
    ends = None if left is None else box.clock.now() + left
    return Person(user=user, source="192.0.2.7", expires_at=ends)


def test_an_identity_file_never_outlives_its_maker(box):
    joe = box.certified(box.sign_up())
    left = timedelta(minutes=30)
    for ttl in (None, 3600, 30 * 3600):
        assert sign(box, as_person(box, left=left), ttl=ttl).expires_at == box.clock.now() + left
    assert sign(box, as_person(box, left=left), ttl=600).expires_at == box.clock.now() + timedelta(minutes=10)
    assert joe.issued


def test_nobody_gets_an_identity_of_another_and_no_web_session_gets_any(box):
    box.sign_up("joe")
    box.sign_up("eve")
    with pytest.raises(Denied):
        sign(box, as_person(box, "eve", timedelta(hours=1)), user="joe")
    with pytest.raises(Denied):
        sign(box, as_person(box, "joe", None))


def test_the_console_is_held_to_thirty_hours_and_to_people_who_exist(box):
    box.sign_up("joe")
    assert sign(box, Console(uid=0), ttl=30 * 3600).expires_at == box.clock.now() + timedelta(hours=30)
    with pytest.raises(Invalid, match="30 hours"):
        sign(box, Console(uid=0), ttl=30 * 3600 + 1)
    with pytest.raises(Denied):
        sign(box, Console(uid=0), user="nobody")


# -- before anything changes


def failing(box, monkeypatch, **changes):
    """The real preflight, with one thing wrong."""
    client = box.ground.custody.client
    report = replace(client.preflight(), **changes)
    monkeypatch.setattr(client, "preflight", lambda: report)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"free_slots": 0}, "no free places"),
        ({"algorithms": ()}, "none of the algorithms"),
    ],
)
def test_a_rotation_that_would_fail_is_refused_before_anything_changes(box, monkeypatch, wrong, said):
    failing(box, monkeypatch, **wrong)
    before, keys = authority(box, AuthorityKind.USER), box.ground.custody.client.public_keys()
    with pytest.raises(Unavailable, match=said):
        rotate(box, AuthorityKind.USER, Phase.INIT)
    assert authority(box, AuthorityKind.USER) == before
    assert box.ground.custody.client.public_keys() == keys
    assert not box.events("cert_authority.rotate")


def test_a_rotation_of_a_sealed_token_says_sealed_and_leaves_no_trace(box, monkeypatch):
    def sealed():
        raise SignerError(Code.SEALED, "the signer is sealed")

    monkeypatch.setattr(box.ground.custody.client, "preflight", sealed)
    with pytest.raises(Sealed):
        rotate(box, AuthorityKind.USER, Phase.INIT)
    assert not box.events("cert_authority.rotate")


def test_a_sign_in_and_a_new_session_say_sealed_while_it_is(box, monkeypatch):
    joe = box.certified(box.sign_up())
    box.add_node()

    def sealed(_):
        raise SignerError(Code.SEALED, "the signer is sealed")

    monkeypatch.setattr(box.ground.custody.client, "sign_user_certificate", sealed)
    with pytest.raises(Sealed, match="unseal it at the console"):
        box.certified(joe)
    with pytest.raises(Sealed):
        box.connect(joe)
    assert box.console("users.list").users


def test_a_start_is_refused_when_a_key_in_use_is_not_on_the_token(box, monkeypatch):
    failing(box, monkeypatch, problems=("the user key 1 is not on the token",))
    generation = authority(box, AuthorityKind.USER).signing.generation
    assert generation == 1
    with pytest.raises(Unavailable, match="the user key 1 is not on the token"):
        box.rooms.authorities.establish()


def test_a_start_goes_on_without_a_key_that_was_only_left_over(box, monkeypatch):
    failing(box, monkeypatch, problems=("the user key 999 is not on the token",))
    box.rooms.authorities.establish()


@pytest.mark.parametrize("code", [Code.SEALED, Code.TOKEN_GONE, Code.UNAVAILABLE])
def test_a_start_over_existing_keys_waits_for_no_token(box, monkeypatch, code):
    def away():
        raise SignerError(code, "not now")

    monkeypatch.setattr(box.ground.custody.client, "preflight", away)
    box.rooms.authorities.establish()


def test_the_signer_says_of_a_lost_key_what_a_start_looks_for(tmp_path):
    with running_signer(tmp_path) as running:
        running.auth.create_key(Ca.USER, 1)
    (tmp_path / "keys").unlink()
    with running_signer(tmp_path) as running:
        shelf = SignerCustody(client=running.auth, clock=HandClock())
        with pytest.raises(KeysMissing, match="the user key 1 is not on the token"):
            shelf.check_keys_in_use([(AuthorityKind.USER, 1)])
        shelf.check_keys_in_use([(AuthorityKind.HOST, 1)])
