"""From the certificate a person shows to the one a node takes: all is judged again at each connection."""

import base64
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from appliance.broker.state import RoleDocument
from appliance.certificates.templates import person_ssh
from appliance.domain import codec
from appliance.domain.operations import custody, nodes, people, ssh
from appliance.domain.operations.ssh import (
    AccessRefused,
    DirectApproved,
    LoginAccepted,
    MoreProof,
    SessionApproved,
)
from appliance.domain.records import AuthorityKind
from hsm.encoding import certificate as wire
from tests.support.auth_box import HERE, token_of
from tests.support.roles import document

ELSEWHERE = "198.51.100.9"


@pytest.fixture
def joe(box):
    joe = box.certified(box.sign_up("joe"))
    box.add_node("web1")
    return joe


def refused(box, answer, reason):
    assert isinstance(answer, AccessRefused), answer
    assert reason in box.events("auth")[-1]["error"]
    assert box.events("auth")[-1]["success"] is False
    return answer.message


def add_role(box, name, **spec):
    box.state.roles.put(RoleDocument(name=name, document=codec.dumps(document(name, **spec)).decode()))


def test_a_session_gets_a_certificate_for_itself_alone(box, joe):
    answer = box.connect(joe)
    assert isinstance(answer, SessionApproved)
    says = wire.parse(answer.certificate).says
    now = int(box.clock.now().timestamp())
    assert says.principals == ("root",)
    assert says.key_id == f"session={answer.session} user=joe"
    assert dict(says.critical_options) == {"source-address": "127.0.0.1/32"}
    assert says.signing_key in box.rooms.authorities.trusted(AuthorityKind.OPENSSH)
    assert says.valid_before - now == 120
    assert answer.host_principal == "web1.main"
    assert [one["event"] for one in box.events()][-3:] == ["auth", "session.start", "cert.create"]
    assert box.events("session.start")[0]["sid"] == answer.session


def test_the_nodes_full_name_means_the_node_too(box, joe):
    assert isinstance(box.connect(joe, "web1.main"), SessionApproved)


def test_a_sessions_certificate_does_not_outlive_the_persons(box, joe):
    box.clock.forward(seconds=23 * 3600 - 40)
    says = wire.parse(box.connect(joe).certificate).says
    assert says.valid_before == wire.parse(joe.certificate).says.valid_before


@pytest.mark.parametrize(
    ("node", "login", "reason"),
    [
        ("web2", "root", "unknown node web2"),
        ("web1.other", "root", "unknown node web1.other"),
        ("web1", "admin", "no role of joe allows it"),
        ("web1", "ROOT", "login 'ROOT' is not valid"),
        ("web1", "root,admin", "is not valid"),
        ("web1", "", "login '' is not valid"),
        ("web1", "-oProxyCommand=x", "is not valid"),
        ("", "root", "node name '' is not valid"),
        ("WEB1", "root", "is not valid"),
        ("web1\n", "root", "is not valid"),
        ("../web1", "root", "is not valid"),
        ("127.0.0.1", "root", "unknown node 127.0.0.1"),
        ("x" * 100_000, "root", "is not valid"),
        ("web1", "r" * 100_000, "is not valid"),
    ],
)
def test_what_was_not_granted_is_refused_and_noted(box, joe, node, login, reason):
    message = refused(box, box.connect(joe, node, login), reason)
    assert len(message) < 200
    assert not box.events("session.start")


def test_an_unknown_node_and_a_forbidden_one_are_answered_alike(box, joe):
    assert box.connect(joe, "web9").message == box.connect(joe, "*").message


def test_a_certificate_that_ended_opens_nothing(box, joe):
    box.clock.forward(hours=23)
    assert "expired" in refused(box, box.connect(joe), "certificate expired")


def test_a_revoked_certificate_opens_nothing(box, joe):
    serial = str(wire.parse(joe.certificate).says.serial)
    box.console("certificates.revoke", custody.CertificatesRevoke(serial=serial))
    refused(box, box.connect(joe), "revoked")


def forged(box, joe, **changes):
    """A certificate by the real authority that is in no register, as a stolen key would make it."""
    now = box.clock.now()
    spec = person_ssh(
        user="joe", logins=("root",), public_key=joe.keys.ssh_blob, now=now, until=now + timedelta(hours=1)
    )
    return box.ground.custody.sign_ssh(replace(spec, **changes), 1).blob


def test_a_certificate_that_is_not_in_the_register_opens_nothing(box, joe):
    refused(box, box.connect(joe, certificate=forged(box, joe)), "not in the register")


@pytest.mark.parametrize("change", ["authority", "user", "subject_key"])
def test_a_register_entry_for_something_else_does_not_vouch(box, joe, change):
    serial = wire.parse(joe.certificate).says.serial
    wrong = {"authority": AuthorityKind.HOST, "user": "ann", "subject_key": "SHA256:other"}[change]

    def alter(one):
        return replace(one, **{change: wrong})

    box.state.certificates.modify(f"{serial:020d}", alter)
    refused(box, box.connect(joe), "forgery")


def test_a_deleted_person_opens_nothing(box, joe):
    box.console("users.delete", people.UserNamed(name="joe"))
    refused(box, box.connect(joe), "no active account")


def test_a_reset_person_opens_nothing_with_what_they_had_before(box, joe):
    token = token_of(box.console("users.reset", people.UserNamed(name="joe")))
    refused(box, box.connect(joe), "no active account")
    box.clock.forward(seconds=1)
    again = box.sign_up("joe", token=token)
    assert "reset" in refused(box, box.connect(joe), "issued before the account")
    assert isinstance(box.connect(box.certified(again)), SessionApproved)


def test_whoever_gets_a_name_anew_does_not_get_its_old_certificates(box, joe):
    box.console("users.delete", people.UserNamed(name="joe"))
    box.clock.forward(seconds=1)
    box.sign_up("joe")
    refused(box, box.connect(joe), "issued before the account")


def test_a_role_taken_away_counts_at_the_next_connection(box, joe):
    box.console("users.update", people.UserUpdate(name="joe", roles=("auditor",)))
    refused(box, box.connect(joe), "")
    assert not box.events("session.start")


def test_a_login_taken_away_counts_at_the_next_connection_whatever_the_certificate_says(box, joe):
    box.console("users.update", people.UserUpdate(name="joe", logins=("nobody",)))
    assert wire.parse(joe.certificate).says.principals == ("root",)
    refused(box, box.connect(joe), "")


@pytest.mark.parametrize("order", [("access", "noroot"), ("noroot", "access")])
def test_deny_wins_whatever_the_order_of_roles(box, joe, order):
    add_role(box, "noroot", deny={"logins": ["root"], "node_labels": {"env": "dev"}})
    box.console("users.update", people.UserUpdate(name="joe", roles=order))
    refused(box, box.connect(joe), "noroot")


def test_a_role_that_is_gone_closes_the_door(box, joe):
    add_role(box, "noroot", deny={"logins": ["root"], "node_labels": {"env": "dev"}})
    box.console("users.update", people.UserUpdate(name="joe", roles=("access", "noroot")))
    box.state.roles.delete("noroot")
    refused(box, box.connect(joe), "noroot")


def test_a_node_that_is_removed_is_unknown_from_then_on(box, joe):
    box.console("nodes.delete", nodes.NodeNamed(name="web1"))
    refused(box, box.connect(joe), "unknown node web1")


def test_a_certificate_of_the_wrong_authority_opens_nothing(box, joe):
    session = box.connect(joe).certificate
    refused(box, box.connect(joe, certificate=session), "not trusted for people")


def test_the_host_certificate_of_a_node_opens_nothing(box, joe):
    line = box.add_node("web2").host_certificate
    blob = base64.b64decode(line.split()[1])
    refused(box, box.connect(joe, certificate=blob), "not trusted for people")


@pytest.mark.parametrize("blob", [b"", b"\0", b"\xff" * 64, b"\0\0\0\x0bssh-ed25519" + bytes(36)])
def test_what_is_no_certificate_opens_nothing_and_names_nobody(box, joe, blob):
    refused(box, box.connect(joe, certificate=blob), "malformed")
    assert "user" not in box.events("auth")[-1]


def test_a_session_key_that_is_none_is_refused_by_the_signer(box, joe):
    request = ssh.ConnectRequest(evidence=box.evidence(joe), node="web1", login="root", session_key=b"junk")
    refused(box, box.proxy("ssh.connect", request), "signer")


# per-session checks


def test_a_role_that_asks_for_a_touch_gets_it_from_this_signature_or_not_at_all(box, joe):
    add_role(
        box,
        "touch",
        allow={"logins": ["root"], "node_labels": {"*": "*"}},
        require_session_mfa=True,
    )
    box.console("users.update", people.UserUpdate(name="joe", roles=("touch",)))
    assert isinstance(box.connect(joe), MoreProof)
    assert isinstance(box.connect(joe, security_key_flags=0), MoreProof)
    assert isinstance(box.connect(joe, security_key_flags=1), SessionApproved)


# the bastion's own door, and streams


def login(box, joe, **changes):
    return box.proxy("ssh.login", ssh.SshLogin(evidence=box.evidence(joe, **changes), user="joe"))


def test_the_bastions_own_door_opens_to_a_good_certificate(box, joe):
    answer = login(box, joe)
    assert isinstance(answer, LoginAccepted)
    assert answer.user == "joe"
    assert 0 < answer.expires_in_seconds <= 23 * 3600


def test_the_bastions_own_door_is_shut_to_a_revoked_one(box, joe):
    box.console("certificates.revoke", custody.CertificatesRevoke(user="joe"))
    refused(box, login(box, joe), "revoked")


def direct(box, joe, host="web1", port=22):
    return box.proxy("ssh.direct", ssh.DirectRequest(evidence=box.evidence(joe), host=host, port=port))


@pytest.mark.parametrize("port", [22, 0, -1, 3306, 10**9])
@pytest.mark.parametrize("host", ["web1", "web9", "127.0.0.1", "2130706433", "::1", "localhost", ""])
def test_a_stream_that_no_role_names_is_refused(box, joe, host, port):
    refused(box, direct(box, joe, host, port), "")
    assert not box.events("port")


def test_a_stream_that_a_role_names_goes_to_the_nodes_own_address(box, joe):
    add_role(
        box,
        "db",
        allow={"logins": ["root"], "node_labels": {"*": "*"}},
        port_forwarding=True,
        direct_destinations=["web1:5432"],
    )
    box.console("users.update", people.UserUpdate(name="joe", roles=("db",)))
    found = direct(box, joe, "web1", 5432)
    if isinstance(found, AccessRefused):
        pytest.fail(box.events("auth")[-1]["error"])
    assert isinstance(found, DirectApproved)
    assert found.address == "127.0.0.1:5432"
    pulse = ssh.Pulse(proxy_id="p", sessions=(found.session,))
    assert box.proxy("proxy.pulse", pulse).end == {}
    box.proxy("sessions.end", ssh.SessionEnd(session=found.session, reason="x", bytes_in=1, bytes_out=2))
    assert found.session in box.proxy("proxy.pulse", pulse).end
    refused(box, direct(box, joe, "web1", 5433), "no role")


# host certificates


def test_host_certificates_are_for_nodes_that_exist(box, joe):
    key = joe.keys.ssh_blob
    done = box.proxy("hosts.certify", ssh.HostCertify(node="web1", host_key=key))
    says = wire.parse(done.certificate).says
    assert (says.kind, says.principals) == (wire.CertificateKind.HOST, ("web1.main", "web1"))
    assert datetime.fromtimestamp(says.valid_before, UTC) - box.clock.now() <= timedelta(days=1)


@pytest.mark.parametrize(
    "node", ["web9", "bastion", "localhost", "*", "web1,web2", "", "web1.main.main", "WEB1"]
)
def test_no_other_name_is_certified_for_a_host(box, joe, node):
    before = len(box.events("cert.create"))
    with pytest.raises(Exception, match="node"):
        box.proxy("hosts.certify", ssh.HostCertify(node=node, host_key=joe.keys.ssh_blob))
    assert len(box.events("cert.create")) == before
    assert HERE != ELSEWHERE
