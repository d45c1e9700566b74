"""The configuration file: a mistake names file, line, key, and what was expected."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import Config, ConfigError, load, parse
from appliance.config.addresses import Addresses
from appliance.config.sample import duration_text, sample
from appliance.config.schema import duration


def problem(text, settings=None):
    with pytest.raises(ConfigError) as error:
        parse(text if isinstance(text, bytes) else text.encode(), "box.yaml", settings)
    return str(error.value)


def test_the_sample_loads_unchanged_and_says_the_defaults():
    assert parse(sample().encode()) == parse(b"")


def test_the_sample_takes_other_values():
    text = sample({"sallyport.data_dir": "/srv/x", "auth_service.cluster_name": "prod"})
    config = parse(text.encode())
    assert (str(config.data_dir), config.auth_service.cluster_name) == ("/srv/x", "prod")


def test_a_section_without_anything_in_it_has_its_defaults():
    """As the sample has them when every key is commented out."""
    assert parse(b"sallyport:\nauth_service:\n  lockout:\n") == parse(b"")


MISTAKES = [
    ("sallyport:\n  nodname: x\n", "2:3", "sallyport.nodname", "unknown key, did you mean nodename?"),
    ("auth_servce: {}\n", "1:1", "auth_servce", "unknown key, did you mean auth_service?"),
    ("auth_service:\n  lockout:\n    window: soon\n", "3:5", "auth_service.lockout.window", "30s, 15m, 8h"),
    ("auth_service:\n  lockout:\n    window: -1\n", "3:5", "auth_service.lockout.window", "greater than 0"),
    ("auth_service:\n  lockout:\n    window: .inf\n", "3:5", "auth_service.lockout.window", "expected"),
    ("auth_service:\n  lockout:\n    window: .nan\n", "3:5", "auth_service.lockout.window", "expected"),
    (
        "auth_service:\n  certificates:\n    host_ttl: 99999999999d\n",
        "3:5",
        "auth_service.certificates.host_ttl",
        "at most 3650d",
    ),
    (
        "auth_service:\n  certificates: {max_ttl: 31h}\n",
        "2:18",
        "auth_service.certificates.max_ttl",
        "less than",
    ),
    ("auth_service:\n  cluster_name: 'a b'\n", "2:3", "auth_service.cluster_name", "lower-case DNS labels"),
    ("auth_service:\n  listen_addr: localhost\n", "2:3", "auth_service.listen_addr", "host:port"),
    ("auth_service:\n  listen_addr: x:99999\n", "2:3", "auth_service.listen_addr", "1 to 65535"),
    ("auth_service:\n  authentication: {second_factors: []}\n", "2:20", "second_factors", "at least 1"),
    (
        "auth_service:\n  authentication: {second_factors: [sms]}\n",
        "",
        "second_factors",
        "'otp' or 'webauthn'",
    ),
    ("auth_service:\n  authentication: {second_factor: sms}\n", "2:20", "second_factor", "'off', 'otp'"),
    ("auth_service:\n  authentication: {password_min_length: 4}\n", "2:20", "password_min_length", "8"),
    ("proxy_service:\n  workers: many\n", "2:3", "proxy_service.workers", "integer"),
    ("proxy_service:\n  workers: 0\n", "2:3", "proxy_service.workers", "1"),
    ("proxy_service:\n  https_key_file: /x\n", "1:1", "proxy_service", "go together"),
    ("signer_service:\n  token: {provider: magic}\n", "2:3", "signer_service.token", "'file'"),
    ("signer_service:\n  token: {provider: pkcs11}\n", "2:3", "signer_service.token.uri", "missing"),
    ("sallyport: [1]\n", "1:1", "sallyport", "expected a section"),
    ("- a\n- b\n", "1:1", "the file", "expected a section"),
]


@pytest.mark.parametrize(("text", "place", "key", "expected"), MISTAKES)
def test_a_mistake_names_its_place_its_key_and_what_was_expected(text, place, key, expected):
    told = problem(text)
    assert told.startswith(f"box.yaml:{place}")
    assert f"{key}" in told
    assert expected in told


def test_all_mistakes_are_told_at_once():
    told = problem("sallyport:\n  x: 1\nproxy_service:\n  y: 2\n").splitlines()
    assert [line.split(": ")[0] for line in told] == ["box.yaml:2:3", "box.yaml:4:3"]


NOT_YAML = [
    "a: [1\n",
    "a: b: c\n",
    "a: 1\na: 2\n",
    "\tx: 1\n",
    "a: &x 1\n--- \nb: 2\n",
    "a: \x07\n",
    "a: *unknown\n",
    b"\xff\xfe",
    b"a: \xe9\n",
    "x" * (1 << 21),
]


@pytest.mark.parametrize("text", NOT_YAML, ids=range(len(NOT_YAML)))
def test_what_is_no_yaml_is_one_clear_line_with_the_files_name(text):
    told = problem(text)
    assert told.startswith("box.yaml")
    assert len(told.splitlines()) == 1


def test_aliases_can_not_blow_the_file_up():
    bomb = "a: &a [x, x, x, x, x, x, x, x, x]\n"
    for one, other in zip("abcdefghi", "bcdefghij", strict=True):
        bomb += f"{other}: &{other} [{', '.join([f'*{one}'] * 9)}]\n"
    assert problem(bomb)


def test_a_value_of_the_command_line_goes_before_the_files():
    text = b"sallyport:\n  nodename: one\n"
    settings = {"sallyport.nodename": "two", "auth_service.lockout.free_attempts": "7"}
    config = parse(text, settings=settings)
    assert (config.sallyport.nodename, config.auth_service.lockout.free_attempts) == ("two", 7)


@pytest.mark.parametrize("text", [b"", b"sallyport:\n", b"sallyport: {}\n"])
def test_a_value_of_the_command_line_needs_no_section_in_the_file(text):
    assert parse(text, settings={"sallyport.log.severity": "DEBUG"}).sallyport.log.severity == "DEBUG"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sallyport.nope", "1"),
        ("nope", "1"),
        ("", "1"),
        ("sallyport.nodename", "["),
        ("sallyport.nodename.x", "1"),
    ],
)
def test_a_mistake_on_the_command_line_is_told_too(key, value):
    assert problem("sallyport:\n  nodename: one\n", {key: value})


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: No such file"):
        load(tmp_path / "nowhere.yaml")


def test_a_relative_data_folder_starts_at_the_file(tmp_path):
    (tmp_path / "c.yaml").write_text("sallyport: {data_dir: var}\n")
    assert load(tmp_path / "c.yaml").data_dir == tmp_path / "var"


def test_a_configuration_can_not_be_changed():
    config = Config()
    with pytest.raises(Exception, match="frozen"):
        config.auth_service.cluster_name = "other"


@given(st.integers(1, 10**7))
def test_durations_are_written_as_they_are_read(seconds):
    assert duration(duration_text(float(seconds))) == seconds


@pytest.mark.parametrize("text", ["", "1", "1x", "h", "1h 30m", "-1h", "1.5h", "1h30", "٣s"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(ValueError, match="duration"):
        duration(text)


def test_the_older_form_of_second_factors_is_read():
    text = "auth_service:\n  authentication: {{second_factor: {}}}\n"
    forms = {"off": ((), False), "otp": (("otp",), True), "on": (("otp", "webauthn"), True)}
    forms |= {"webauthn": (("webauthn",), True), "optional": (("otp", "webauthn"), False)}
    for form, (factors, required) in forms.items():
        found = parse(text.format(form).encode()).auth_service.authentication
        assert (found.factors, found.required) == (factors, required)


@pytest.mark.parametrize(
    ("text", "web", "origin", "ssh"),
    [
        (
            "proxy_service: {public_addr: 'box.example:443'}",
            "box.example:443",
            "box.example",
            "box.example:3023",
        ),
        (
            "sallyport: {advertise_ip: '2001:db8::1'}",
            "[2001:db8::1]:3080",
            "[2001:db8::1]:3080",
            "[2001:db8::1]:3023",
        ),
        ("sallyport: {nodename: box}", "box:3080", "box:3080", "box:3023"),
    ],
)
def test_addresses_are_those_that_others_reach_the_box_by(text, web, origin, ssh):
    found = Addresses.of(parse(text.encode()))
    assert (found.web, found.web_origin, found.ssh) == (web, origin, ssh)
    assert re.fullmatch(r"bastion\.main", found.bastion_names[-1])
