"""The second factor of one session: asked for by roles, bound to exactly this connection (S8, X1)."""

import pytest

from appliance.client.person.home import fresh_keys
from appliance.domain.errors import NotFound
from appliance.domain.operations import ssh
from appliance.domain.operations.challenges import ChallengeAnswer, ChallengeNamed
from appliance.domain.operations.people import WebauthnProof
from appliance.domain.operations.resources import Documents

PROD = """\
kind: role
version: v7
metadata: {name: prod}
spec:
  options: {require_session_mfa: %s}
  allow: {logins: ['{{internal.logins}}'], node_labels: {env: prod}}
---
kind: role
version: v7
metadata: {name: dev}
spec:
  allow: {logins: ['{{internal.logins}}'], node_labels: {env: dev}}
"""


def prepare(box, demand="true"):
    box.console("resources.apply", Documents(text=PROD % demand))
    box.add_node("dev1", labels={"env": "dev"})
    box.add_node("prod1", labels={"env": "prod"})


@pytest.fixture
def ann(box):
    prepare(box)
    return box.certified(box.sign_up("ann", roles=("dev", "prod")))


@pytest.fixture
def kim(box):
    prepare(box, "hardware_key_touch")
    return box.certified(box.sign_up_with_key("kim", roles=("dev", "prod")))


def connect(box, person, node, *answers, login="root", **changes):
    request = ssh.ConnectRequest(
        evidence=box.evidence(person, **changes),
        node=node,
        login=login,
        session_key=fresh_keys().ssh_blob,
        answers=answers,
    )
    return box.proxy("ssh.connect", request)


def typed(more, code):
    return ssh.ProofAnswer(challenge=more.challenge, code=code)


def confirm(box, person, more):
    shown = box.person(person.name, "challenges.show", ChallengeNamed(id=more.challenge))
    proof = WebauthnProof(response=box.assertion(person, shown.webauthn))
    box.person(person.name, "challenges.answer", ChallengeAnswer(id=more.challenge, proof=proof))
    return shown


def test_dev_opens_without_a_check_and_prod_with_a_code(box, ann):
    assert isinstance(connect(box, ann, "dev1"), ssh.SessionApproved)
    more = connect(box, ann, "prod1")
    assert isinstance(more, ssh.MoreProof)
    assert (more.factors, more.url) == (("totp",), "")
    box.clock.forward(seconds=30)
    assert isinstance(connect(box, ann, "prod1", typed(more, box.code(ann.secret))), ssh.SessionApproved)


def test_a_wrong_code_is_said_so_and_the_challenge_stays(box, ann):
    more = connect(box, ann, "prod1")
    again = connect(box, ann, "prod1", typed(more, "000000"))
    assert (again.challenge, bool(again.message)) == (more.challenge, True)
    box.clock.forward(seconds=30)
    assert isinstance(connect(box, ann, "prod1", typed(more, box.code(ann.secret))), ssh.SessionApproved)


def test_further_channels_of_the_connection_are_not_asked_again(box, ann):
    more = connect(box, ann, "prod1")
    box.clock.forward(seconds=30)
    connect(box, ann, "prod1", typed(more, box.code(ann.secret)))
    assert isinstance(connect(box, ann, "prod1", typed(more, "")), ssh.SessionApproved)
    box.clock.forward(seconds=300)
    assert isinstance(connect(box, ann, "prod1", typed(more, "")), ssh.MoreProof)


@pytest.mark.parametrize(
    "changes", [{"session_hash": b"\1" * 32}, {"source": "192.0.2.99"}, {"login": "postgres"}]
)
def test_a_check_is_for_one_connection_source_and_login(box, changes):
    prepare(box)
    ann = box.certified(box.sign_up("ann", roles=("dev", "prod"), logins=("root", "postgres")))
    more = connect(box, ann, "prod1")
    box.clock.forward(seconds=30)
    assert isinstance(connect(box, ann, "prod1", typed(more, box.code(ann.secret))), ssh.SessionApproved)
    other = connect(box, ann, "prod1", typed(more, ""), **changes)
    assert isinstance(other, ssh.MoreProof)
    assert other.challenge != more.challenge


def test_the_page_shows_what_is_opened_and_the_same_short_code(box, kim):
    more = connect(box, kim, "prod1")
    shown = confirm(box, kim, more)
    assert shown.words == ("Open a session", "root on prod1", "from 192.0.2.7")
    assert shown.matching == more.matching
    assert more.url.endswith(f"/web/confirm/{more.challenge}")
    assert isinstance(connect(box, kim, "prod1", typed(more, "")), ssh.SessionApproved)


def test_a_security_keys_own_signature_counts_as_the_check(box, kim):
    assert isinstance(connect(box, kim, "prod1", security_key_flags=0x01), ssh.SessionApproved)
    assert isinstance(connect(box, kim, "prod1", security_key_flags=0x00), ssh.MoreProof)


def test_a_code_is_not_enough_where_a_hardware_key_is_asked_for(box):
    prepare(box, "hardware_key_touch")
    ann = box.certified(box.sign_up("ann", roles=("prod",)))
    more = connect(box, ann, "prod1")
    assert isinstance(more, ssh.MoreProof)
    assert more.challenge == ""
    assert more.factors == ("ssh_security_key", "webauthn")


def test_the_cluster_can_ask_it_of_everybody(box, ann):
    text = "kind: cluster_auth_preference\nversion: v2\nmetadata: {name: cluster-auth-preference}\n"
    box.console("resources.apply", Documents(text=f"{text}spec: {{require_session_mfa: true}}", replace=True))
    assert isinstance(connect(box, ann, "dev1"), ssh.MoreProof)


def test_another_person_cannot_confirm(box, kim):
    ann = box.certified(box.sign_up_with_key("ann", roles=("prod",)))
    more = connect(box, kim, "prod1")
    with pytest.raises(NotFound):
        confirm(box, ann, more)
