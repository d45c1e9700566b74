"""`sallyctl get|create|edit|rm|diff`, on the real use cases."""

import json

import pytest
from click.testing import CliRunner
from ruamel.yaml import YAML

from appliance.cli import resource_commands
from appliance.domain.errors import Conflict, Invalid

ROLE = """\
kind: role
version: v7
metadata: {name: dba}
spec:
  allow: {logins: [root], node_labels: {type: db}}
"""


class AtTheConsole:
    """What commands are handed: calls go through the broker's gate as the console's do."""

    def __init__(self, box):
        self.call = box.console


@pytest.fixture
def run(box):
    def run(command, *words, **more):
        done = CliRunner().invoke(command, words, obj=AtTheConsole(box), **more)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.stdout

    return run


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "roles.yaml"
    path.write_text(ROLE)
    return path


def test_a_role_goes_in_and_comes_out_in_three_forms(run, file):
    assert run(resource_commands.create, "-f", str(file)) == "role/dba created\n"
    document = YAML(typ="safe").load(run(resource_commands.get, "role/dba"))
    assert document["spec"]["allow"]["logins"] == ["root"]
    assert list(document) == ["kind", "version", "metadata", "spec"]
    assert json.loads(run(resource_commands.get, "role/dba", "-o", "json"))[0] == document
    assert "dba" in run(resource_commands.get, "roles", "-o", "text")


def test_documents_are_read_from_the_standard_input(run):
    assert run(resource_commands.create, input=ROLE) == "role/dba created\n"


def test_a_mistake_names_file_and_line(run, file):
    file.write_text(ROLE.replace("allow:", "alow:"))
    with pytest.raises(Invalid, match=r"roles.yaml: line 5: spec.alow: unknown field; did you mean allow"):
        run(resource_commands.create, str(file))


def test_diff_shows_what_would_change_and_changes_nothing(run, file):
    run(resource_commands.create, str(file))
    file.write_text(ROLE.replace("root", "dba"))
    shown = run(resource_commands.diff, "-f", str(file))
    assert "-    - root\n+    - dba\n" in shown
    assert "root" in run(resource_commands.get, "role/dba")


def test_edit_opens_the_editor_and_applies_what_it_left(run, file, tmp_path, monkeypatch):
    run(resource_commands.create, str(file))
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i "s/root/dba/" "$1"\n')
    editor.chmod(0o700)
    monkeypatch.setenv("EDITOR", str(editor))
    monkeypatch.delenv("VISUAL", raising=False)
    assert run(resource_commands.edit, "role/dba") == "role/dba updated\n"
    assert "- dba" in run(resource_commands.get, "role/dba")


def test_an_edit_that_was_overtaken_is_refused_and_kept(run, file, tmp_path, monkeypatch):
    run(resource_commands.create, str(file))
    monkeypatch.setattr(
        resource_commands.click, "edit", lambda text, **_: _overtaken(run, file, text.replace("root", "mine"))
    )
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.raises(Conflict):
        run(resource_commands.edit, "role/dba")
    assert any("mine" in kept.read_text() for kept in tmp_path.glob("tmp*.yaml"))


def _overtaken(run, file, text):
    file.write_text(ROLE.replace("root", "theirs"))
    run(resource_commands.create, "-f", str(file))
    return text


def test_rm_removes(run, file):
    run(resource_commands.create, str(file))
    assert run(resource_commands.remove, "role/dba") == "role/dba deleted\n"
