"""The pages that are made from their sources are what their sources say, and no link leads nowhere."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import click
import pytest
from pydantic import BaseModel

from appliance.config.schema import Config
from scripts.reference import PROGRAMS, pages, program, walk

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TEXTS = (ROOT / "README.md", *sorted(DOCS.glob("*.md")))


@pytest.mark.parametrize("path", [DOCS / "configuration.md", DOCS / "cli.md"], ids=lambda path: path.name)
def test_a_made_page_is_what_its_source_says(path):
    assert path.read_text() == pages()[path], "make docs"


def keys(model, prefix=""):
    for name, found in model.model_fields.items():
        kinds = (found.annotation, *get_args(found.annotation))
        models = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
        for kind in models:
            yield from keys(kind, f"{prefix}{name}.")
        if not models:
            yield f"{prefix}{name}"


def test_every_configuration_key_is_explained():
    page = (DOCS / "configuration.md").read_text()
    rows = dict(re.findall(r"(?m)^\| `([\w.]+)` \|[^|]*\| (.*) \|$", page))
    assert [key for key in keys(Config) if len(rows.get(key, "")) < 5] == []


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_command_and_option_is_explained(name):
    page = (DOCS / "cli.md").read_text()
    command = program(name)
    for one, context in walk(command, click.Context(command, info_name=name)):
        assert one.help, f"{context.command_path} says nothing of itself"
        for option in (found for found in one.params if isinstance(found, click.Option)):
            assert f"`{option.opts[0]}" in page or option.opts[0] in page


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), f"{path.name} links to {target}"


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.name)
def test_make_targets_that_are_named_exist(path):
    targets = set(re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text()))
    assert set(re.findall(r"`?make ([a-z-]+)`", path.read_text())) <= targets


def test_manual_pages_are_made_for_every_command(tmp_path):
    command = [sys.executable, "-m", "scripts.manual", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "manual pages" in done.stdout
    page = (tmp_path / "sallyctl-users-add.1").read_text()
    assert "sign" in page
    assert {path.name for path in tmp_path.iterdir()} >= {f"{name}.1" for name in PROGRAMS}
