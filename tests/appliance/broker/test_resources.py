"""Resources as documents, through the gate and the table, on the real policy, store and trail."""

import json
import threading

import pytest

from appliance.domain.errors import Conflict, Denied, Exists, Invalid, NotFound, Unavailable
from appliance.domain.operations.resources import Documents, ResourceNamed, ResourceRemoval

ROLE = """\
kind: role
version: v7
metadata:
  name: dba
spec:
  allow:
    logins: [root]
    node_labels: {type: db}
"""
USER = """\
kind: user
version: v2
metadata: {name: ann}
spec:
  roles: [dba]
  traits: {logins: [root]}
"""
PREFERENCE = """\
kind: cluster_auth_preference
version: v2
metadata: {name: cluster-auth-preference}
spec: {second_factors: [webauthn], require_session_mfa: true}
"""


def apply(box, text, *, replace=False, who=None):
    request = Documents(text=text, replace=replace)
    return (box.console if who is None else lambda *a: box.person(who, *a))("resources.apply", request)


def get(box, kind, name=""):
    return box.console("resources.get", ResourceNamed(kind=kind, name=name)).resources


def actions(changes):
    return [(one.kind, one.name, one.action) for one in changes.changes]


def test_a_role_and_a_user_who_has_it_come_in_one_file(box):
    done = apply(box, f"{USER}---\n{ROLE}")
    assert actions(done) == [("user", "ann", "created"), ("role", "dba", "created")]
    (role,) = get(box, "role", "dba")
    assert role.document["spec"]["allow"]["node_labels"] == {"type": ["db"]}
    assert role.document["metadata"]["revision"] == str(role.revision)


def test_what_was_read_can_be_written_back(box):
    apply(box, ROLE)
    (role,) = get(box, "role", "dba")
    again = apply(box, json.dumps(role.document), replace=True)
    assert actions(again) == [("role", "dba", "unchanged")]
    assert get(box, "role", "dba")[0].revision == role.revision


def test_of_several_documents_all_are_applied_or_none(box):
    before = box.snapshot()
    with pytest.raises(Invalid, match=r"line 14: spec.roles\[0\]: there is no role 'nosuch'"):
        apply(box, f"{ROLE}---\n{USER.replace('[dba]', '[nosuch]')}")
    assert box.snapshot() == before


def test_a_typo_is_an_error_with_its_line_and_a_suggestion(box):
    with pytest.raises(Invalid, match=r"line 8: spec.allow.node_label: .*did you mean node_labels\?"):
        apply(box, ROLE.replace("node_labels", "node_label"))


def test_a_predicate_that_could_never_work_is_an_error_with_its_line(box):
    text = ROLE + "    rules:\n    - {resources: [session], verbs: [list], where: 'contains('}\n"
    with pytest.raises(Invalid, match=r"line 10: spec.allow.rules\[0\].where"):
        apply(box, text)


def test_an_unknown_kind_names_the_nearest(box):
    with pytest.raises(Invalid, match=r"line 1: kind: there is no kind 'rol'; did you mean role\?"):
        apply(box, ROLE.replace("kind: role", "kind: rol"))


def test_what_exists_is_replaced_only_when_asked(box):
    apply(box, ROLE)
    with pytest.raises(Exists, match="-f replaces it"):
        apply(box, ROLE.replace("[root]", "[dba]"))
    done = apply(box, ROLE.replace("[root]", "[dba]"), replace=True)
    assert actions(done) == [("role", "dba", "updated")]
    assert done.changes[0].before["spec"]["allow"]["logins"] == ["root"]


def test_two_editors_cannot_overwrite_each_other(box):
    apply(box, ROLE)
    (read,) = get(box, "role", "dba")
    first, second = json.loads(json.dumps(read.document)), json.loads(json.dumps(read.document))
    first["spec"]["allow"]["logins"] = ["first"]
    second["spec"]["allow"]["logins"] = ["second"]
    apply(box, json.dumps(first), replace=True)
    with pytest.raises(Conflict, match="changed by somebody else"):
        apply(box, json.dumps(second), replace=True)
    assert get(box, "role", "dba")[0].document["spec"]["allow"]["logins"] == ["first"]


def test_of_many_editors_at_once_one_wins(box):
    apply(box, ROLE)
    (read,) = get(box, "role", "dba")
    won, lost = [], []

    def edit(number):
        document = json.loads(json.dumps(read.document))
        document["spec"]["allow"]["logins"] = [f"editor{number}"]
        try:
            apply(box, json.dumps(document), replace=True)
            won.append(f"editor{number}")
        except Conflict:
            lost.append(number)

    threads = [threading.Thread(target=edit, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 7)
    assert get(box, "role", "dba")[0].document["spec"]["allow"]["logins"] == won


def test_a_change_holds_from_the_next_decision_on(box):
    joe = box.certified(box.sign_up())
    box.add_node("db1", labels={"type": "db"})
    assert box.connect(joe, node="db1").user == "joe"
    apply(box, ROLE + "  deny: {node_labels: {type: db}}\n")
    apply(box, USER.replace("ann", "joe").replace("[dba]", "[access, dba]"), replace=True)
    assert "not allowed" in box.connect(joe, node="db1").message
    apply(box, ROLE, replace=True)
    assert box.connect(joe, node="db1").user == "joe"


def test_the_event_is_durable_before_the_change(box):
    box.trail.broken = True
    before = box.snapshot()
    with pytest.raises(Unavailable):
        apply(box, ROLE)
    assert box.snapshot() == before
    box.trail.broken = False
    apply(box, ROLE)
    assert [one["target"] for one in box.events("role.create")] == ["dba"]


def test_a_person_needs_the_verb_on_each_kind(box):
    box.sign_up("eve", roles=("editor",))
    box.sign_up("bob", roles=("auditor",))
    assert actions(apply(box, ROLE, who="eve")) == [("role", "dba", "created")]
    with pytest.raises(Denied):
        apply(box, ROLE.replace("dba", "dbb"), who="bob")
    with pytest.raises(Denied):
        box.person("bob", "resources.get", ResourceNamed(kind="user"))
    assert box.events("access.denied")


def test_a_role_that_somebody_holds_stays(box):
    apply(box, f"{ROLE}---\n{USER}")
    with pytest.raises(Conflict, match="held by ann"):
        box.console("resources.delete", ResourceRemoval(kind="role", name="dba"))
    box.console("resources.delete", ResourceRemoval(kind="user", name="ann"))
    box.console("resources.delete", ResourceRemoval(kind="role", name="dba"))
    with pytest.raises(NotFound):
        get(box, "role", "dba")


def test_a_preset_can_be_changed_and_got_back_but_not_removed(box):
    with pytest.raises(Invalid, match="preset"):
        box.console("resources.delete", ResourceRemoval(kind="role", name="reviewer"))
    apply(box, ROLE.replace("dba", "reviewer"), replace=True)
    assert "review_requests" not in get(box, "role", "reviewer")[0].document["spec"]["allow"]
    box.console("resources.delete", ResourceRemoval(kind="role", name="reviewer"))
    assert "review_requests" in get(box, "role", "reviewer")[0].document["spec"]["allow"]


def test_removing_at_an_old_revision_is_refused(box):
    apply(box, ROLE)
    (read,) = get(box, "role", "dba")
    apply(box, ROLE.replace("[root]", "[x]"), replace=True)
    with pytest.raises(Conflict):
        box.console("resources.delete", ResourceRemoval(kind="role", name="dba", revision=read.revision))


def test_nodes_are_read_and_removed_but_not_written(box):
    box.add_node("web1")
    (node,) = get(box, "node")
    assert node.document["metadata"]["labels"] == {"env": "dev"}
    with pytest.raises(Invalid, match="nodes add"):
        apply(box, json.dumps(node.document), replace=True)
    box.console("resources.delete", ResourceRemoval(kind="node", name="web1"))
    assert get(box, "node") == ()


def test_the_cluster_can_ask_for_a_check_of_each_session(box):
    joe = box.certified(box.sign_up())
    box.add_node("web1")
    assert hasattr(box.connect(joe), "certificate")
    apply(box, PREFERENCE.replace("[webauthn]", "[webauthn, otp]"), replace=True)
    assert box.connect(joe).factors == ("totp",)
    box.console(
        "resources.delete",
        ResourceRemoval(kind="cluster_auth_preference", name="cluster-auth-preference"),
    )
    assert hasattr(box.connect(joe), "certificate")


def test_the_relying_party_never_changes(box):
    text = PREFERENCE.replace("require_session_mfa: true", "webauthn: {rp_id: evil.example}")
    with pytest.raises(Invalid, match=r"line 4: spec.webauthn.rp_id: is localhost and can't change"):
        apply(box, text, replace=True)


def test_settings_that_would_not_be_enforced_are_refused(box):
    with pytest.raises(Invalid, match="allow_passwordless"):
        apply(box, PREFERENCE.replace("require_session_mfa: true", "allow_passwordless: false"), replace=True)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\nb: *x", "line 1: anchors"),
        ("kind: !!str role", "line 1: tags"),
        ("kind: role\nkind: user", "line 2: not valid YAML"),
        ("[" * 40 + "]" * 40, "nested deeper"),
        ("1: role", "expected a key of text"),
        ("just text", "each document is a mapping"),
        ("", "expected 1 to 64 documents"),
        ("kind: role\n---\n" * 65, "expected 1 to 64 documents"),
        ("x" * 300_000, "more than"),
    ],
)
def test_yaml_that_could_surprise_is_refused(box, text, problem):
    with pytest.raises(Invalid, match=problem):
        apply(box, text)


def test_the_same_resource_twice_in_a_file_is_refused(box):
    with pytest.raises(Invalid, match="role/dba stands twice"):
        apply(box, f"{ROLE}---\n{ROLE}")


def test_a_preview_changes_nothing(box):
    before = box.snapshot()
    shown = box.console("resources.preview", Documents(text=ROLE))
    assert actions(shown) == [("role", "dba", "created")]
    assert box.snapshot() == before


def test_second_factors_of_the_document_hold_at_the_next_sign_in(box):
    joe = box.sign_up()
    box.accepted(joe)
    apply(box, PREFERENCE, replace=True)
    assert box.console("cluster.ping").second_factors == ("webauthn",)
    with pytest.raises((Denied, AssertionError)):
        box.accepted(joe)


def test_the_usual_life_of_certificates_is_a_setting(box):
    joe = box.certified(box.sign_up())
    before = joe.issued.expires_at - box.clock.now()
    text = PREFERENCE.replace("[webauthn]", "[webauthn, otp]").replace(
        "require_session_mfa: true", "default_session_ttl: 2h"
    )
    apply(box, text, replace=True)
    after = box.certified(joe).issued.expires_at - box.clock.now()
    assert after.total_seconds() == 2 * 3600 < before.total_seconds()
