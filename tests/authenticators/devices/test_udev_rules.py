"""The udev rules are in the package, and every line is of udev's form."""

import re
from importlib.resources import files

RULES = files("authenticators.devices").joinpath("70-sallyport.rules").read_text()
LINES = [line for line in RULES.splitlines() if line and not line.startswith("#")]
PART = re.compile(r'[A-Z]+(\{[A-Za-z_]+\})?(==|!=|=|\+=|:=)"[^"]*"')


def test_every_line_is_a_list_of_keys_operators_and_quoted_values():
    for line in LINES:
        assert all(PART.fullmatch(part.strip()) for part in re.split(r",\s*(?=[A-Z])", line)), line


def test_keys_are_given_to_the_seat_and_to_no_group_or_everybody():
    grants = [line for line in LINES if "uaccess" in line]
    assert len(grants) == 2
    assert all('MODE="0600"' in line for line in grants)
    assert "GROUP" not in RULES


def test_each_jump_has_its_label():
    jumps = set(re.findall(r'GOTO="(\w+)"', RULES))
    assert jumps == set(re.findall(r'LABEL="(\w+)"', RULES))
