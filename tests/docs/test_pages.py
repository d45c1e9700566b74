"""The commands of the documentation, run as they stand, against a throw-away appliance.

A block ```` ```console run ```` has commands after `$ ` and below each what it prints, line by line in this
order, where `…` stands for anything. Every command has to end with status 0.
"""

import contextlib
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support import sign_up
from tests.support.box import Box, running_box
from tests.support.browser import chromium
from tests.support.stock_node import StockNode, running_node

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("roles", "hardware", "ssh-clients", "operations")
PASSWORD = "three blind mice ran"
BLOCK = re.compile(r"^```console run\n(.*?)^```", re.MULTILINE | re.DOTALL)
pytestmark = pytest.mark.functional


def steps(page):
    """Yield each command of a page with the lines it should print."""
    for block in BLOCK.findall((DOCS / f"{page}.md").read_text()):
        for step in re.split(r"(?m)^\$ ", block)[1:]:
            command, *expected = step.rstrip().split("\n")
            yield command, expected


def as_pattern(line):
    pieces = [r"\s+".join(map(re.escape, piece.split())) for piece in line.split("…")]
    return ".*".join(pieces)


@dataclass
class Reader:
    """Somebody who follows the pages word by word."""

    box: Box
    node: StockNode
    folder: Path
    people: dict[str, sign_up.SignedUp] = field(default_factory=dict)

    def follow(self, page):
        for command, expected in steps(page):
            output = self.type(self.here(command))
            self.compare(command, [self.here(line) for line in expected], output)
            self.afterwards(command, output)

    def here(self, text):
        """Return a text of the pages as it is on this machine."""
        text = text.replace("localhost:3080", self.box.proxy).replace("127.0.0.1:2222", self.node.address)
        text = re.sub(r"\broot\b", self.node.login, text).replace("sha256:…", self.box.pin)
        return text.replace("SESSION", self.session()) if "SESSION" in text else text

    def session(self):
        found = json.loads(self.box.sallyctl("sessions", "ls", "--format", "json").stdout)["sessions"]
        return min((one for one in found if one["recording_size"]), key=lambda one: one["started_at"])["id"]

    def type(self, command):
        if command.startswith("sally login"):
            joe = self.people["joe"]
            return self.box.login("joe", PASSWORD, joe.codes.next())
        done = self.box.run("bash", "-euc", f"exec 2>&1\n{command}")
        assert done.returncode == 0, f"{command}: {done.stdout}"
        return done.stdout

    def compare(self, command, expected, output):
        rest = output.replace("\r", "").split("\n")
        for line in expected:
            pattern = re.compile(as_pattern(line))
            found = next((n for n, said in enumerate(rest) if pattern.search(said)), None)
            assert found is not None, f"{command}\nshould print {line!r}, and printed\n{output}"
            rest = rest[found + 1 :]

    def afterwards(self, command, output):
        """Do what the page says in words."""
        if command.startswith("sallyctl users add joe"):
            link = re.search(r"https://\S+", output)[0]
            with chromium(self.folder / "profile", trusted_spki=self.box.spki) as browser:
                self.people["joe"] = sign_up.with_app(browser, link, PASSWORD)
        if command.startswith("sallyctl nodes add web1"):
            out = self.box.folder / "home/for-web1"
            self.node.trust(next(out.glob("*user-ca.pub")), next(out.glob("*host-cert.pub")))


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Somebody who has been through the quick start."""
    with contextlib.ExitStack() as stack:
        node = stack.enter_context(running_node(tmp_path_factory.mktemp("web1")))
        box = stack.enter_context(running_box(tmp_path_factory.mktemp("box")))
        one = Reader(box=box, node=node, folder=tmp_path_factory.mktemp("reader"))
        one.follow("quick-start")
        yield one


def test_the_quick_start_leads_to_a_replayed_session(reader):
    assert "session.end" in reader.box.sallyctl("events", "ls").stdout


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_do_what_it_says(reader, page):
    assert list(steps(page))
    reader.follow(page)
