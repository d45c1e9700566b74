"""Who may call what: the whole table against every kind of caller, and the record before every effect."""

import base64
import json
from contextlib import suppress
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from appliance.broker.callers import Console, Person, Service
from appliance.client.person.home import fresh_keys
from appliance.domain.decision import Factor
from appliance.domain.errors import Denied, SallyportError, Unavailable
from appliance.domain.operations import OPERATIONS, Caller, custody, journal, nodes, people, resources, ssh
from appliance.domain.operations.operation import Nothing
from appliance.domain.records import AuthorityKind, RotationPhase
from appliance.policy.presets import KNOWN_RESOURCES, KNOWN_VERBS
from tests.support.auth_box import HERE, PASSWORD
from tests.support.roles import document

OWN_MATTERS = {
    "authorities.list": "public keys, which people need to verify with",
    "browser_logins.answer": "answers for the caller alone; the use case demands a browser session",
    "browser_logins.show": "found by an id of 128 random bits",
    "challenges.answer": "a proof of one's own, for what was asked of oneself",
    "challenges.show": "what is asked of oneself",
    "cluster.ping": "what anyone may know (M4)",
    "devices.begin": "one's own, after a proof by another device",
    "devices.finish": "one's own, begun with a proof",
    "devices.list": "one's own",
    "devices.remove": "one's own, after a proof by another device",
    "identities.sign": "for oneself, never longer than what one holds: decided in the use case",
    "krl.read": "revoked serials, public as the list that every sshd gets",
    "me.show": "the caller's own account",
    "nodes.list": "the nodes one's roles reach",
    "recordings.export": "one's own, or by the rule session:read, decided in the use case",
    "recordings.read": "one's own, or by the rule session:read, decided in the use case",
    "resources.apply": "the rule is that of each document's kind, decided in the use case",
    "resources.delete": "the rule is that of the kind, decided in the use case",
    "resources.get": "the rule is that of the kind, decided in the use case",
    "resources.preview": "the rule is that of each document's kind, decided in the use case",
    "sessions.list": "one's own, or by the rule session:list, decided in the use case",
    "web_sessions.end": "the caller's own session",
}
"""Operations that any signed-in person may call, and why that is harmless."""

IDENTITIES = {
    Caller.CONSOLE: Console(uid=0),
    Caller.PROXY: Service(kind=Caller.PROXY),
    Caller.WEB: Service(kind=Caller.WEB),
    Caller.PERSON: Person(user="joe", source=HERE),
}
WRONG = [
    (name, caller)
    for name, operation in OPERATIONS.items()
    for caller in Caller
    if caller not in operation.callers
]


def test_every_operation_for_people_has_a_rule_or_is_harmless():
    without = {name for name, one in OPERATIONS.items() if Caller.PERSON in one.callers and one.rule is None}
    assert without == OWN_MATTERS.keys()


def test_every_rule_names_a_resource_and_a_verb_that_roles_can_grant():
    for one in OPERATIONS.values():
        if one.rule is not None:
            assert one.rule.resource in KNOWN_RESOURCES
            assert one.rule.verb in KNOWN_VERBS


def test_every_operation_says_what_it_does_and_who_may_call():
    for name, one in OPERATIONS.items():
        assert name == one.name
        assert one.summary
        assert not one.summary.endswith(".")
        assert one.callers


def test_what_changes_the_cluster_for_others_is_marked_as_administrative():
    for name, one in OPERATIONS.items():
        changes = one.rule is not None and one.rule.verb in {"create", "update", "delete", "rotate"}
        assert one.admin or not changes, name


def test_the_proxy_and_the_web_process_can_change_nobodys_account():
    for name, one in OPERATIONS.items():
        if one.callers & {Caller.PROXY, Caller.WEB}:
            assert not one.admin, name


def refusal_events(box):
    return box.events("access.denied")


def test_every_wrong_caller_is_refused_and_noted(box):
    """Deny by default: the whole table at once, as the set-up costs more than the question."""
    box.sign_up("joe", roles=("editor", "access", "auditor"))
    before = box.snapshot()
    for name, caller in WRONG:
        request = any_request(OPERATIONS[name].request)
        with pytest.raises(Denied, match="access denied"):
            box.call(IDENTITIES[caller], name, request)
        last = box.events("access.denied")[-1]
        assert (last["operation"], last["code"]) == (name, "SP3000W")
        assert last["error"] == f"{name} is not for a {caller}"
    assert len(refusal_events(box)) == len(WRONG)
    assert box.snapshot() == before


def test_a_person_without_the_rule_is_refused_and_noted(box):
    box.sign_up("joe", roles=())
    for name, one in OPERATIONS.items():
        if Caller.PERSON in one.callers and one.rule is not None:
            with pytest.raises(Denied, match="access denied"):
                box.person("joe", name, any_request(one.request))
            last = box.events("access.denied")[-1]
            assert last["error"] == f"no role of joe allows {one.rule.verb} on {one.rule.resource}"


@pytest.mark.parametrize("state", ["unknown", "invited", "deleted", "reset"])
def test_nobody_is_let_in_whose_account_is_not_in_use(box, state):
    match state:
        case "invited":
            box.invite("joe")
        case "deleted" | "reset":
            box.sign_up("joe", roles=("editor",))
            verb = "delete" if state == "deleted" else "reset"
            box.console(f"users.{verb}", people.UserNamed(name="joe"))
    for name, one in OPERATIONS.items():
        if Caller.PERSON in one.callers:
            with pytest.raises(Denied):
                box.person("joe", name, any_request(one.request))
    assert refusal_events(box)[-1]["error"] == "no such user, or not signed up"


def test_a_role_without_conditions_is_not_opened_by_one_with_them(box):
    """`access` may list events and read sessions where they are its own: that is no right to all of them."""
    box.sign_up("joe", roles=("access",))
    with pytest.raises(Denied):
        box.person("joe", "events.list", journal.EventsQuery())


def any_request(kind: Any) -> Any:
    """Return some well-formed request: empty texts, zeros, first members."""
    if kind is Nothing:
        return Nothing()
    hints = get_type_hints(kind)
    given = {
        one.name: _any(hints[one.name])
        for one in fields(kind)
        if one.default is MISSING and one.default_factory is MISSING
    }
    return kind(**given)


def _any(kind: Any) -> Any:
    if is_dataclass(kind):
        return any_request(kind)
    plain = {str: "x", int: 1, bool: False, bytes: b"x", float: 1.0}
    if kind in plain:
        return plain[kind]
    if getattr(kind, "__args__", None):
        origin = getattr(kind, "__origin__", None)
        return origin() if origin in (tuple, dict, frozenset, list) else _any(kind.__args__[0])
    return next(iter(kind))


# invariant 5: the event is durable before the effect is visible


@dataclass
class Prepared:
    """A box in which each operation would succeed, and the requests that would."""

    requests: dict[str, tuple[Any, Any]]


def prepare(box) -> Prepared:
    joe = box.certified(box.sign_up("joe"))
    box.sign_up("ann", roles=("editor",))
    box.add_node("web1")
    sid = box.connect(joe).session
    spare = box.invite("spare")
    secret = box.begin_totp(spare)
    link = box.invite("other")
    attempt, other = box.accepted(joe), box.accepted(joe)
    keys = fresh_keys()
    browser = box.browser(joe)
    begun = box.begin("joe")
    box.clock.forward(seconds=30)
    code = people.CodeProof(code=box.code(secret))
    box.console("resources.apply", resources.Documents(text=role_text("old")))
    proofs = (people.PasswordProof(password=PASSWORD), people.CodeProof(code=box.code(joe.secret)))
    waiting = box.web(
        "browser_logins.create",
        people.BrowserLoginCreate(source=HERE, ssh_public_key=keys.ssh_blob, tls_public_key=keys.tls_public),
    )
    session = box.rooms.web_sessions.person(browser)
    box.proxy("recordings.append", ssh.RecordingBlock(session=sid, offset=0, data=b"x"))
    console, web, proxy = IDENTITIES[Caller.CONSOLE], IDENTITIES[Caller.WEB], IDENTITIES[Caller.PROXY]
    host = base64.b64encode(keys.ssh_blob).decode()
    return Prepared(
        requests={
            "users.create": (console, people.UserCreate(name="new")),
            "users.update": (console, people.UserUpdate(name="joe", roles=("auditor",))),
            "users.reset": (console, people.UserNamed(name="joe")),
            "users.delete": (console, people.UserNamed(name="ann")),
            "invites.begin": (web, people.EnrolBegin(token=link, factor=Factor.TOTP)),
            "invites.finish": (
                web,
                people.EnrolFinish(token=spare, password=PASSWORD, device_name="phone", proof=code),
            ),
            "login.begin": (web, people.LoginBegin(user="joe", source=HERE)),
            "login.prove": (web, people.LoginProve(attempt=begun.attempt, source=HERE, proofs=proofs)),
            "login.issue": (
                web,
                people.CredentialsRequest(
                    attempt=attempt,
                    source=HERE,
                    ssh_public_key=keys.ssh_blob,
                    tls_public_key=keys.tls_public,
                ),
            ),
            "web_sessions.create": (web, people.WebSessionCreate(attempt=other, source=HERE)),
            "web_sessions.end": (session, Nothing()),
            "browser_logins.create": (
                web,
                people.BrowserLoginCreate(
                    source=HERE, ssh_public_key=keys.ssh_blob, tls_public_key=keys.tls_public
                ),
            ),
            "browser_logins.answer": (session, people.BrowserLoginAnswer(id=waiting.id, approve=True)),
            "nodes.add_openssh": (
                console,
                nodes.NodeAddOpenssh(name="web2", address="127.0.0.1:22", host_key=f"ssh-ed25519 {host}"),
            ),
            "nodes.delete": (console, nodes.NodeNamed(name="web1")),
            "proxy.register": (proxy, ssh.ProxyRegister(proxy_id="p", host_key=keys.ssh_blob)),
            "hosts.certify": (proxy, ssh.HostCertify(node="web1", host_key=keys.ssh_blob)),
            "ssh.connect": (
                proxy,
                ssh.ConnectRequest(
                    evidence=box.evidence(joe), node="web1", login="root", session_key=keys.ssh_blob
                ),
            ),
            "sessions.report": (
                proxy,
                ssh.SessionReport(facts=(ssh.SessionFacts(session=sid, event="exec", fields={}),)),
            ),
            "sessions.end": (proxy, ssh.SessionEnd(session=sid, reason="x", bytes_in=0, bytes_out=0)),
            "identities.sign": (
                console,
                custody.IdentitySign(
                    user="joe", ssh_public_key=keys.ssh_blob, tls_public_key=keys.tls_public
                ),
            ),
            "rotation.go": (console, custody.Rotate(kind=AuthorityKind.HOST, phase=RotationPhase.INIT)),
            "certificates.revoke": (console, custody.CertificatesRevoke(user="joe")),
            "resources.apply": (console, resources.Documents(text=role_text("new"))),
            "resources.delete": (console, resources.ResourceRemoval(kind="role", name="old")),
            "web.certify": (web, custody.WebCertify(public_key=keys.tls_public)),
        }
    )


def role_text(name: str) -> str:
    return json.dumps(document(name, allow={"logins": ["root"]}))


CEREMONIES = {
    "invites.begin": "an offer that opens nothing until it is finished",
    "login.begin": "an attempt that opens nothing until it is proved",
    "browser_logins.create": "a wish that opens nothing until it is answered",
    "web_sessions.end": "signing out takes away, and must not depend on a disk that is full",
}
"""Operations that change the store without an event, and why that is no effect."""
USED_UP = {
    "login.prove": ("credentials/joe",),
    "login.issue": ("attempts/",),
    "web_sessions.create": ("attempts/",),
}
"""What a one-time proof uses up goes first, so that it can't be used twice; all else waits for the record."""


def test_nothing_happens_that_can_not_be_recorded(box):
    prepared = prepare(box)
    for name, (identity, request) in prepared.requests.items():
        if name in CEREMONIES:
            continue
        before, box.trail.broken = box.snapshot(), True
        with pytest.raises(Unavailable, match="audit log is full"):
            box.call(identity, name, request)
        box.trail.broken = False
        after = box.snapshot()
        changed = {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)}
        assert all(key.startswith(USED_UP.get(name, ("-",))) for key in changed), (name, changed)


def test_each_of_these_would_have_happened(box):
    """The other half of the test above: with a log that works, the same requests go through."""
    for name, (identity, request) in prepare(box).requests.items():
        if name in {"users.reset", "users.delete", "nodes.delete", "users.update", "certificates.revoke"}:
            continue
        before = len(box.events())
        box.call(identity, name, request)
        assert name in CEREMONIES or len(box.events()) > before, name


READING = {
    "bundle",
    "direct",
    "export",
    "get",
    "list",
    "login",
    "ping",
    "preview",
    "pulse",
    "read",
    "show",
    "status",
    "why",
}
"""Last words of the names of operations that grant or change nothing that lasts."""


def test_every_operation_that_changes_something_is_tried_here(box):
    reading = {name for name in OPERATIONS if name.rpartition(".")[2] in READING}
    exempt = {
        "recordings.append": "the recording itself; that it exists is session.start",
        "recordings.finish": "its event holds the digest, which is known when it is closed",
        "browser_logins.collect": "issues by the same path as login.issue",
        "challenges.answer": "tried in test_admin_actions, where there is something to answer",
        "devices.begin": "an offer that opens nothing until it is finished",
        "devices.finish": "tried in test_devices, with a device",
        "devices.remove": "tried in test_devices, with a proof",
    }
    assert not OPERATIONS.keys() - reading - exempt.keys() - prepare(box).requests.keys()


def test_reading_operations_change_nothing(box):
    box.certified(box.sign_up("joe", roles=("editor", "access", "auditor")))
    before = box.snapshot()
    for name in OPERATIONS:
        if (
            name.endswith((".list", ".show", ".ping", ".status"))
            and Caller.PERSON in OPERATIONS[name].callers
        ):
            with suppress(SallyportError):
                box.person("joe", name, any_request(OPERATIONS[name].request))
    assert box.snapshot() == before
