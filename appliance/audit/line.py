r"""A record becomes one line of canonical JSON, whatever people typed into its fields.

Canonical here means: keys sorted, no spaces, and pure ASCII without control characters. So no
field can end a line, move a terminal's cursor or turn the reading direction (threat L01): line
feeds, escapes, C1 controls, U+2028 and bidirectional marks are all written as `\uXXXX`.

An event is never dropped for its size (threat L08): its longest fields are shortened, each says so
in its own text, and `truncated` lists their names.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping

from appliance.audit.errors import Unrecordable

MAX_LINE = 64 * 1024
"""Bytes of a line with its line feed."""
SEAL_ROOM = 160
"""Bytes kept free for what `chain.seal` adds."""
MAX_FIELDS = 64
MAX_NAME = 64
MAX_DEPTH = 8
WIDEST = 12
"""Bytes that one character can become: two `\\uXXXX` of a surrogate pair."""
KEPT = (4096, 1024, 128, 0)
"""Characters kept of a field that is too long, in the rounds of making an event fit."""
OURS = frozenset({"seq", "prev", "truncated", "rest"})
MARK_ROOM = 512
"""Bytes below which shortening a field would win nothing."""
INT_LIMIT = 2**63

Value = str | int | float | bool | None | list["Value"] | dict[str, "Value"]
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False, check_circular=False)


def canonical(record: Mapping[str, Value]) -> bytes:
    """Return the canonical JSON of a prepared record, without line feed."""
    return _ENCODER.encode(record).replace("\x7f", "\\u007f").encode("ascii")


def prepare(record: Mapping[str, object]) -> dict[str, Value]:
    """Return the record with every value made plain and the whole made to fit.

    Raises `Unrecordable` if it has no `event`, a field that only the log may set, or a value that is
    not a string, number, boolean, null, list or mapping.
    """
    event = record.get("event")
    if not isinstance(event, str) or not event:
        raise Unrecordable("an event needs its name in the field event")
    if taken := OURS & record.keys():
        raise Unrecordable(f"the field {min(taken)} is the log's own")
    clean = {_name(name): _plain(value, str(name), 0) for name, value in record.items()}
    if _may_be_long(clean):
        clean = _fit(clean)
    return clean


def _name(name: object) -> str:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME:
        raise Unrecordable(f"not a field name of at most {MAX_NAME} characters: {name!r:.100}")
    return _text(name)


def _text(text: str) -> str:
    """Return the text; lone surrogates, which no other JSON reader takes, become visible."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def _plain(value: object, name: str, depth: int) -> Value:
    match value:
        case None | bool() | int() | float():
            return _scalar(value)
        case str():
            return _text(value)
        case Mapping() | list() | tuple() if depth == MAX_DEPTH:
            return "[nested too deeply]"
        case Mapping():
            return {_text(str(key)): _plain(item, name, depth + 1) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item, name, depth + 1) for item in value]
    raise Unrecordable(f"{name}: a {type(value).__name__} can't stand in an event")


def _scalar(value: float | None) -> Value:
    """Return the value; a number that other JSON readers would change or refuse becomes text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value) if -INT_LIMIT <= value < INT_LIMIT else hex(value)
    return float(value) if math.isfinite(value) else str(value)


def _may_be_long(record: Mapping[str, Value]) -> bool:
    """Return whether the line could pass the limit; exact only where the quick guess is not enough."""
    guess = len(record) * (MAX_NAME + 8)
    for value in record.values():
        if isinstance(value, list | dict):
            guess = MAX_LINE
            break
        guess += WIDEST * len(value) if isinstance(value, str) else 24
    return guess > MAX_LINE - SEAL_ROOM and not _fits(record)


def _fits(record: Mapping[str, Value]) -> bool:
    return len(record) <= MAX_FIELDS and len(canonical(record)) <= MAX_LINE - SEAL_ROOM


def _fit(record: Mapping[str, Value]) -> dict[str, Value]:
    """Shorten the longest fields, more of them and further each round, until the line fits."""
    whole, shortened = _fold(record)
    fitted = dict(whole)
    for kept in KEPT:
        for name in sorted(fitted, key=lambda name: -_width(name, fitted[name])):
            marked = _marked(fitted, shortened)
            if _fits(marked):
                return marked
            if _width(name, fitted[name]) > kept + MARK_ROOM:
                fitted[name] = _shorten(whole[name], kept)
                shortened.add(name)
    return _marked(fitted, shortened)


def _marked(fields: Mapping[str, Value], shortened: set[str]) -> dict[str, Value]:
    names: list[Value] = [*sorted(shortened)]
    return {**fields, "truncated": names}


def _width(name: str, value: Value) -> int:
    return len(canonical({name: value}))


def _fold(record: Mapping[str, Value]) -> tuple[dict[str, Value], set[str]]:
    """Return at most `MAX_FIELDS` fields; what is beyond them becomes the text of `rest`."""
    room = MAX_FIELDS - 2
    if len(record) <= room:
        return dict(record), set()
    names = sorted(record, key=lambda name: (name not in FIRST, _width(name, record[name])))
    kept: dict[str, Value] = {name: record[name] for name in names[:room]}
    rest: dict[str, Value] = {name: record[name] for name in names[room:]}
    return {**kept, "rest": rest}, {"rest"}


def _shorten(value: Value, kept: int) -> str:
    text = value if isinstance(value, str) else canonical({"": value})[4:-1].decode("ascii")
    digest = hashlib.sha256(text.encode()).hexdigest()
    return f"{text[:kept]}[truncated: {len(text)} characters, sha256 {digest}]"


FIRST = frozenset(
    {"event", "code", "time", "uid", "ei", "user", "login", "sid", "addr.local", "addr.remote", "success"}
)
"""Fields that are kept as they are for longest."""
