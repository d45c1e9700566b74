"""Values to JSON and back: every message type there is, and everything that must be refused."""

import json
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import Flag, StrEnum
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.authn.throttle import Failures
from appliance.broker.enrolment import Ceremony
from appliance.domain import codec, records
from appliance.domain.decision import Factor
from appliance.domain.errors import Invalid
from appliance.domain.operations import OPERATIONS, people

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
PLAIN = {
    str: TEXT,
    int: st.integers(-(2**63), 2**64 - 1),
    float: st.floats(allow_nan=False, allow_infinity=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    datetime: st.datetimes(
        timezones=st.just(UTC),
        min_value=datetime(1, 1, 2),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime(9999, 1, 1),  # noqa: DTZ001
    ),
    timedelta: st.timedeltas(timedelta(0), timedelta(days=9999)),
    type(None): st.none(),
    Any: JSON_VALUES,
}


def values(kind):
    """A strategy for any type that messages and records are made of."""
    if kind in PLAIN:
        return PLAIN[kind]
    if get_args(kind):
        return _of_several(kind, get_origin(kind), get_args(kind))
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: values(hints[field.name]) for field in fields(kind)})
    assert issubclass(kind, StrEnum | Flag)
    return st.sampled_from(list(kind)).map(kind)


def _of_several(kind, origin, args):
    if origin is tuple and args[1:] != (Ellipsis,):
        return st.tuples(*map(values, args))
    if origin in (tuple, frozenset, list):
        return st.lists(values(args[0]), max_size=3).map(origin)
    if origin is dict:
        return st.dictionaries(TEXT, values(args[1]), max_size=3)
    return st.one_of(*map(values, args))


MESSAGES = {
    f"{name} {side}": getattr(operation, side)
    for name, operation in OPERATIONS.items()
    for side in ("request", "response")
}
RECORDS = {
    one.__name__: one
    for one in (*vars(records).values(), Ceremony, Failures)
    if is_dataclass(one) and isinstance(one, type)
}


@pytest.mark.parametrize("kind", {**MESSAGES, **RECORDS}.values(), ids={**MESSAGES, **RECORDS}.keys())
def test_every_message_and_record_comes_back_as_it_was(kind):
    @settings(max_examples=5, suppress_health_check=list(HealthCheck))
    @given(values(kind))
    def round_trip(value):
        data = codec.dumps(value)
        assert codec.loads(kind, data) == value
        assert codec.loads(kind, data, lenient=True) == value
        assert codec.dumps(codec.loads(kind, data)) == data

    round_trip()


@pytest.mark.parametrize("kind", MESSAGES.values(), ids=MESSAGES.keys())
def test_no_message_takes_an_unknown_field_or_lets_anything_but_invalid_out(kind):
    @settings(max_examples=5, suppress_health_check=list(HealthCheck))
    @given(values(kind), JSON_VALUES)
    def strict(value, anything):
        document = codec.encode(value)
        with pytest.raises(Invalid, match="unknown field"):
            codec.decode(kind, {**document, "extra": 1})
        for name in document:
            with suppress(Invalid):
                codec.loads(kind, json.dumps({**document, name: anything}))

    strict()


def test_a_newer_peer_may_say_more_than_is_known():
    assert codec.decode(people.UserNamed, {"name": "joe", "more": 1}, lenient=True).name == "joe"


@pytest.mark.parametrize(
    "text",
    [
        '{"name":"joe","name":"ann"}',
        '{"name":{"a":1,"a":1}}',
        '{"name":NaN}',
        '{"name":Infinity}',
        '{"name":-Infinity}',
        '{"name":1e999}',
        '{"name":"joe"',
        '{"name":"joe"}{}',
        '{"name":"\\ud800"}',
        '{"name":"\\uDC00\\ud800"}',
        '{"\\udfff":1}',
        "[" * 100_000,
        "1" * 10_000,
        "",
    ],
)
def test_what_is_no_strict_json_is_refused(text):
    with pytest.raises(Invalid, match="not valid JSON"):
        codec.loads(people.UserNamed, text)


@pytest.mark.parametrize(
    "data", [b"\xff{}", b"\xed\xa0\x80", '{"name":"joe"}'.encode("utf-16"), b"\xef\xbb\xbf{}"]
)
def test_json_is_utf_8_without_a_mark(data):
    with pytest.raises(Invalid, match="not valid JSON"):
        codec.loads(people.UserNamed, data)


def test_a_whole_surrogate_pair_is_a_character():
    assert codec.loads(people.UserNamed, '{"name":"\\ud83d\\ude00"}').name == "\U0001f600"


@dataclass(frozen=True, kw_only=True)
class Sample:
    number: int = 0
    share: float = 0.0
    flag: bool = False
    data: bytes = b""
    moment: datetime | None = None
    life: timedelta = timedelta(0)
    pair: tuple[int, str] = (0, "")
    factor: Factor = Factor.TOTP
    proof: people.PasswordProof | people.CodeProof | None = None


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("number", True, "$.number"),
        ("number", 1.0, "$.number"),
        ("number", "1", "$.number"),
        ("share", True, "$.share"),
        ("share", 10**400, "$.share"),
        ("flag", 1, "$.flag"),
        ("flag", None, "$.flag"),
        ("data", "no base64", "$.data"),
        ("data", "QUJD\n", "$.data"),
        ("data", "QUI", "$.data"),
        ("data", [1], "$.data"),
        ("moment", "2026-01-31T12:00:00", "$.moment"),
        ("moment", "2026-01-31", "$.moment"),
        ("moment", "20260131T120000Z", "$.moment"),
        ("moment", "2026-W05-6T12:00:00Z", "$.moment"),
        ("moment", "2026-01-31 12:00:00Z", "$.moment"),
        ("moment", "2026-02-30T12:00:00Z", "$.moment"),
        ("moment", "0001-01-01T00:00:00+23:59", "$.moment"),
        ("moment", "9999-12-31T23:59:59-23:59", "$.moment"),
        ("moment", 1, "$.moment"),
        ("life", "1", "$.life"),
        ("life", True, "$.life"),
        ("life", 10**30, "$.life"),
        ("life", 1e300, "$.life"),
        ("pair", [1], "$.pair"),
        ("pair", [1, "a", 2], "$.pair"),
        ("pair", ["a", 1], "$.pair[0]"),
        ("pair", "1a", "$.pair"),
        ("factor", "TOTP", "$.factor"),
        ("factor", ["totp"], "$.factor"),
        ("proof", {"password": "x"}, "$.proof.is"),
        ("proof", {"is": "WebauthnProof", "response": {}}, "$.proof.is"),
        ("proof", {"is": ["PasswordProof"], "password": "x"}, "$.proof.is"),
        ("proof", {"is": "CodeProof", "password": "x"}, "$.proof.password"),
        ("proof", {"is": "CodeProof"}, "$.proof.code"),
        ("proof", "CodeProof", "$.proof"),
        ("is", "Sample", "$.is"),
    ],
)
def test_a_wrong_value_is_refused_and_its_place_named(field, value, place):
    with pytest.raises(Invalid) as refused:
        codec.decode(Sample, {field: value})
    assert str(refused.value).startswith(f"{place}: ")


def test_a_member_of_a_union_read_by_itself_still_minds_its_tag():
    with pytest.raises(Invalid, match=r"\$\.is: expected CodeProof"):
        codec.decode(people.CodeProof, {"is": "PasswordProof", "code": "1"})


def test_what_has_no_form_in_json_is_not_written():
    for value in (object(), {"a": object()}, complex(1, 2), people.UserNamed):
        with pytest.raises(Invalid, match="can't be written"):
            codec.dumps(value)


@given(st.binary(max_size=200) | TEXT)
def test_no_bytes_do_more_than_to_be_refused(data):
    with suppress(Invalid):
        codec.loads(people.UserNamed, data)
