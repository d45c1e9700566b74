"""The reference pages are what their sources say; nobody has to remember them."""

import json

import click
import pytest

from appliance.domain.operations import OPERATIONS
from scripts.reference import DOCS, PROGRAMS, pages, program, walk


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_a_generated_page_is_up_to_date(path):
    assert path.read_text() == pages()[path], "run `make docs`"


def test_every_operation_is_described_with_who_may_call_it():
    paths = json.loads((DOCS / "openapi.json").read_text())["paths"]
    assert set(paths) == {f"/v1/{name}" for name in OPERATIONS}
    for name, operation in OPERATIONS.items():
        described = paths[f"/v1/{name}"]["post"]
        assert described["summary"]
        assert set(described["x-callers"]) == {str(caller) for caller in operation.callers}
        assert described["x-admin"] == operation.admin


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_command_says_what_it_does(name):
    command = program(name)
    for one, context in walk(command, click.Context(command, info_name=name)):
        assert one.help, context.command_path
