"""`access why` and `access ls`: the same decision as a connection's, with the words that made it."""

import pytest
from click.testing import CliRunner

from appliance.cli import access_commands
from appliance.domain.errors import NotFound
from appliance.domain.operations.access import AccessOf, AccessQuestion
from appliance.domain.operations.resources import Documents

ROLES = """\
kind: role
version: v7
metadata: {name: prod}
spec:
  options: {require_session_mfa: true}
  allow: {logins: [root], node_labels: {env: prod}}
---
kind: role
version: v7
metadata: {name: careful}
spec:
  deny: {node_labels: {env: secret}}
"""


class AtTheConsole:
    def __init__(self, box):
        self.call = box.console


@pytest.fixture
def why(box):
    box.console("resources.apply", Documents(text=ROLES))
    box.invite("dan", logins=("dan",), roles=("access", "prod", "careful"))
    for name in ("dev", "prod", "secret"):
        box.add_node(f"{name}1", labels={"env": name})

    def ask(login, node):
        return box.console("access.why", AccessQuestion(user="dan", login=login, node=node))

    return ask


def test_a_permit_names_the_role_that_gave_it(why):
    said = why("dan", "dev1")
    assert (said.answer, said.reasons[0].role) == ("allowed", "access")
    assert said.reasons[0].place == "spec.allow.node_labels"


def test_a_need_names_the_role_that_asks_for_the_check(why):
    said = why("root", "prod1")
    assert said.answer == "needs proof"
    assert "webauthn" in said.factors
    assert "prod" in {one.role for one in said.reasons}


def test_a_denial_names_the_role_that_denies(why):
    said = why("dan", "secret1")
    assert (said.answer, said.reasons[0].role) == ("denied", "careful")


def test_nothing_that_matches_names_what_came_closest(why):
    assert why("root", "dev1").answer == "denied"
    assert why("root", "dev1").reasons


def test_the_list_tells_which_logins_need_a_check(box, why):
    lines = {line.node: line for line in box.console("access.list", AccessOf(user="dan")).lines}
    assert lines["dev1"].logins == ("dan",)
    assert (lines["prod1"].logins, lines["prod1"].with_proof) == (("dan",), ("root",))
    assert "secret1" not in lines


def test_who_does_not_exist_is_not_found(box, why):
    with pytest.raises(NotFound):
        why("dan", "nosuch")
    with pytest.raises(NotFound):
        box.console("access.list", AccessOf(user="nosuch"))


def test_the_command_says_it_in_lines(box, why):
    done = CliRunner().invoke(access_commands.group, ["why", "dan", "dan@secret1"], obj=AtTheConsole(box))
    assert done.stdout.startswith("denied: denied to dan by role careful\n  role careful, spec.deny.")
    done = CliRunner().invoke(access_commands.group, ["ls", "dan"], obj=AtTheConsole(box))
    assert "prod1" in done.stdout
