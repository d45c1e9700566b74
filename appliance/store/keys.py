"""Keys: segments joined by slashes, each segment made from a name by percent-encoding.

A name that people choose (a user, a node, a mail address) can hold a slash or a control character;
as a segment it can't, so no name reaches outside of its own folder.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

from appliance.store.errors import Unusable

MAX_KEY = 512
"""Bytes in UTF-8; DynamoDB's sort key holds 1024, etcd far more."""
PLAIN = " @:+=,;~!$'()*&"
"""Characters besides letters, digits and `-._~` that stay readable in a segment."""
LAST = "\U0010ffff"
"""Sorts after every character that a key can have, so a prefix plus this ends its range."""


def key(*names: str) -> str:
    """Return the key of these names, e.g. `key("users", "a/b")` is `users/a%2Fb`."""
    return check_key("/".join(quote(name, safe=PLAIN) for name in names))


def names(text: str) -> tuple[str, ...]:
    """Return the names that `key` made a key from."""
    return tuple(unquote(segment, errors="strict") for segment in text.split("/"))


def check_key(text: str) -> str:
    """Return the key; raises `Unusable` when it is empty, too long, or has an empty segment."""
    if not text or not text.isprintable() or "" in text.split("/"):
        raise Unusable(f"not a key: {text[:80]!r}")
    if len(text.encode()) > MAX_KEY:
        raise Unusable(f"a key is at most {MAX_KEY} bytes: {text[:80]!r}...")
    return text


def prefix_end(prefix: str) -> str:
    """Return the first string after every key that starts with `prefix`."""
    return prefix + LAST
