"""Results that are kept in a file that people write in as well."""

from bench.frame import Better, Report, ratio_row, value_row
from bench.machine import Machine
from bench.record import record, replaced, section

MACHINE = Machine(facts={"cpu": "a cpu", "cores": 2}, versions={"python": "3.11.7", "openssh": "9.2"})
REPORT = Report(
    name="ssh",
    machine=MACHINE,
    rows={
        "A1": ratio_row([(1.0, 1.5)], better=Better.LESS, unit="s", note="a | b"),
        "E1.p50": value_row([0.5], "ms"),
    },
)


def test_a_section_has_machine_versions_and_a_line_a_row():
    text = section(REPORT)
    assert "cpu a cpu, cores 2." in text
    assert "python 3.11.7, openssh 9.2." in text
    assert "| A1 | 1.5 x | 1.5 | 1.5 | yes | 1 against 1.5 s, 1 rounds; a / b |" in text
    assert "| E1.p50 | 0.5 ms |" in text


def test_recording_again_replaces_the_section_and_nothing_else(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("# Benchmarks\n\nBy people.\n")
    record(readme, REPORT)
    once = readme.read_text()
    record(readme, REPORT)
    assert readme.read_text() == once
    assert once.startswith("# Benchmarks\n\nBy people.\n")


def test_sections_of_others_stay():
    text = replaced(replaced("head\n", "ssh", "old"), "signer", "theirs")
    text = replaced(text, "ssh", "new")
    assert "old" not in text
    assert text.index("new") < text.index("theirs")
