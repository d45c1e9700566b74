"""Names: the canonical form and nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.domain import names
from appliance.domain.errors import Invalid

PARSERS = (names.user_name, names.login, names.node_name, names.cluster_name, names.session_id)
ODD = [
    "",
    " ",
    "joe ",
    " joe",
    "joe\n",
    "joe\0",
    "joe\x1b[2J",
    "Joe",
    "JOE",
    "\uff4aoe",  # full width: NFKC makes it joe
    "jo\u0435",  # a Cyrillic letter
    "joe\u200b",
    "\u202ejoe",
    "joe,root",
    "*",
    "joe/root",
    "../joe",
    "-joe",
    "a" * 300,
    "\u017fally",  # long s: NFKC and upper-casing make it an s
    "\u0131nfo",
]


@pytest.mark.parametrize("text", ODD)
@pytest.mark.parametrize("parse", PARSERS)
def test_no_odd_name_is_a_name(parse, text):
    with pytest.raises(Invalid):
        parse(text)


@pytest.mark.parametrize("parse", PARSERS)
@given(text=st.text(max_size=80))
def test_what_is_accepted_comes_back_as_it_was_and_has_one_reading_only(parse, text):
    try:
        parsed = parse(text)
    except Invalid:
        return
    assert parsed == text
    assert text.isascii()
    assert unicodedata.normalize("NFKC", text) == text == text.lower() == text.strip()


@pytest.mark.parametrize("text", ["joe", "_apt", "joe.smith", "joe@example.com", "j0e_x-y", "a" * 64])
def test_ordinary_user_names_are_good(text):
    assert names.user_name(text) == text


@pytest.mark.parametrize("text", ["root", "_apt", "a" * 32])
def test_ordinary_logins_are_good(text):
    assert names.login(text) == text


@pytest.mark.parametrize("text", ["joe@example.com", "a" * 33, "0day"])
def test_a_login_is_narrower_than_a_user_name(text):
    with pytest.raises(Invalid):
        names.login(text)


@pytest.mark.parametrize("text", ["web1", "web1.dc.example", "1and1", "a-b"])
def test_ordinary_node_names_are_good(text):
    assert names.node_name(text) == text


@pytest.mark.parametrize(
    "text", ["web_1", "-a", "a-", "a..b", ".a", "a.", "a" * 64, ".".join(["a" * 60] * 5)]
)
def test_a_node_name_is_made_of_dns_labels(text):
    with pytest.raises(Invalid):
        names.node_name(text)


@pytest.mark.parametrize(
    "text",
    [
        "0C9D6E2A-1111-4111-8111-111111111111",
        "{0c9d6e2a-1111-4111-8111-111111111111}",
        "0c9d6e2a111141118111111111111111",
        "urn:uuid:0c9d6e2a-1111-4111-8111-111111111111",
    ],
)
def test_a_session_id_has_one_spelling(text):
    with pytest.raises(Invalid):
        names.session_id(text)


def test_labels_are_printable_and_short():
    assert names.labels({"env": "dev", "k8s.io/role": "a b"}) == {"env": "dev", "k8s.io/role": "a b"}
    for pairs in (
        {"": "x"},
        {"a b": "x"},
        {"env": "a\nb"},
        {"env": "\x1b[1m"},
        {"env": "x" * 257},
        {"-": "x"},
    ):
        with pytest.raises(Invalid):
            names.labels(pairs)


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("web1:22", ("web1", 22)),
        ("127.0.0.1:65535", ("127.0.0.1", 65535)),
        ("[::1]:22", ("::1", 22)),
        ("[2001:DB8::1]:22", ("2001:db8::1", 22)),
        ("web1", ("web1", 2222)),
        ("::1", ("::1", 2222)),
        ("[::1]", ("::1", 2222)),
    ],
)
def test_addresses_are_host_and_port(text, parsed):
    assert names.host_port(text, default_port=2222) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        ":22",
        "web1:",
        "web1:0",
        "web1:65536",
        "web1:-1",
        "web1:+1",
        "web1:٢٢",
        "web1:22 ",
        "web1:0x16",
        "we b:22",
        "Web1:22",
        "[::1:22",
        "-oProxyCommand=x:22",
        "web1;id:22",
        "fe80::1%eth0",
        "[fe80::1%eth0]:22",
        "[fe80::1%\n]:22",
    ],
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(Invalid):
        names.host_port(text, default_port=2222)


@given(st.text(max_size=60))
def test_an_address_that_is_accepted_holds_no_character_that_means_something_elsewhere(text):
    try:
        host, port = names.host_port(text, default_port=22)
    except Invalid:
        return
    assert set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789.:-")
    assert not host.startswith("-")
    assert 0 < port < 65536
