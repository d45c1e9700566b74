"""What a command prints when it fails: one sentence, whoever wrote it."""

import click
import pytest

from appliance.cli import frame
from appliance.domain.errors import Denied


@pytest.mark.parametrize("evil", ["\x1b]0;owned\x07", "\x1b[2J", "\x9b31m", "\u202e", "\r"])
def test_a_servers_words_do_nothing_to_the_terminal(evil, capsys, monkeypatch):
    """The first answer of a server comes before anybody has verified who it is."""

    @click.group()
    def cli():
        pass

    @cli.command()
    def fail():
        raise Denied("x", message=f"no{evil}way\nsecond line")

    monkeypatch.setattr("sys.argv", ["sally", "fail"])
    with pytest.raises(SystemExit) as left:
        frame.run(cli, "sally")
    told = capsys.readouterr().err
    assert left.value.code == 3
    assert evil not in told
    assert told.splitlines()[0].startswith("sally: no\\u{")
    assert told.splitlines()[1] == "second line"
