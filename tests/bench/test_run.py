"""The one entry, as a person starts it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench import command
from bench.frame import BenchError, Plan, failed_row, value_row

ROOT = Path(__file__).parents[2]


def run(*words):
    return subprocess.run(
        [sys.executable, str(ROOT / "bench/run"), *words],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_launcher_can_be_executed():
    assert os.access(ROOT / "bench/run", os.X_OK)


def test_every_benchmark_is_listed():
    done = run("--list")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == list(command.BENCHMARKS)


def test_an_unknown_benchmark_is_refused_by_name():
    done = run("nonsense")
    assert done.returncode == 2
    assert "nonsense" in done.stderr


def test_json_is_one_object_on_stdout_and_nothing_else():
    done = run("store", "--quick", "--json", "--rounds", "1", "--rows", "read_us,per_second")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert set(document["rows"]) == {"read_us", "per_second"}
    assert document["machine"]["cores"] == os.cpu_count()
    assert document["versions"]["openssh"].startswith("OpenSSH")


@pytest.mark.parametrize("words", [("--rounds", "0"), ("--rounds", "many")])
def test_a_wrong_number_of_rounds_is_refused(words, capsys):
    with pytest.raises(SystemExit):
        command.main(["store", *words])
    assert "--rounds" in capsys.readouterr().err


class Given:
    """A benchmark with the rows it is given."""

    def __init__(self, rows):
        self._rows = rows

    def rows(self, _plan):
        return self._rows


def test_an_unknown_row_is_an_error(monkeypatch):
    monkeypatch.setattr(command.importlib, "import_module", lambda _: Given({"A1": value_row([1.0], "s")}))
    with pytest.raises(BenchError, match="no row Z9"):
        command.run("ssh", Plan(rows=("Z9",)))


def test_a_row_that_failed_makes_the_status_one(monkeypatch, capsys):
    rows = {"A1": value_row([1.0], "s"), "A2": failed_row(BenchError("gone"))}
    monkeypatch.setattr(command.importlib, "import_module", lambda _: Given(rows))
    assert command.main(["ssh"]) == 1
    assert "FAILED: gone" in capsys.readouterr().out
