"""Templates in roles: `{{internal.logins}}`, `{{external.team}}-admin`, `{{email.local(external.email)}}`.

A template is expanded against the traits of one person into as many texts as it has values, and
into none where the trait is missing. Text around the braces is kept. Both `internal` and `external`
name the person's traits; the two words tell role authors where a value comes from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache

from appliance.domain.errors import Invalid
from appliance.domain.names import login as parse_login
from appliance.policy.syntax import parse
from appliance.policy.where import Context, Kind, texts_function

Traits = Mapping[str, tuple[str, ...]]
LOGINS = "logins"
_SCHEMA = {"internal": Kind.TRAITS, "external": Kind.TRAITS}
_TEMPLATE = re.compile(r"([^{}]*)\{\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}\}([^{}]*)")


def is_template(text: str) -> bool:
    """Say whether a text of a role stands for values of traits."""
    return "{{" in text or "}}" in text


class Template:
    """One text of a role with a template in it; made by `parse_template`."""

    def __init__(self, source: str) -> None:
        found = _TEMPLATE.fullmatch(source)
        if found is None:
            raise Invalid(f"template {source[:80]!r}: expected one {{{{name}}}} with text around it")
        self._before, self._after = found[1], found[3]
        self._values = texts_function(parse(found[2].strip()), _SCHEMA, source)

    def expand(self, traits: Traits) -> tuple[str, ...]:
        """Return the texts for these traits; values that came out empty are left out."""
        context: Context = {"internal": traits, "external": traits}
        return tuple(self._before + one + self._after for one in self._values(context) if one)


@lru_cache(maxsize=4096)
def parse_template(source: str) -> Template:
    """Return the template of a text that `is_template`; raises `Invalid`."""
    return Template(source)


def expand(texts: tuple[str, ...], traits: Traits) -> tuple[str, ...]:
    """Return the texts with their templates expanded, each value once, in order."""
    out: dict[str, None] = {}
    for text in texts:
        values = parse_template(text).expand(traits) if is_template(text) else (text,)
        out.update(dict.fromkeys(values))
    return tuple(out)


def valid_logins(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Return those texts that may be a login; a trait can't smuggle in `alice,root` or `*`."""
    return tuple(text for text in texts if _is_login(text))


def _is_login(text: str) -> bool:
    try:
        parse_login(text)
    except Invalid:
        return False
    return True


def with_own_login(name: str, traits: Traits) -> Traits:
    """Return the traits with the person's own name as the login where none is listed (U2)."""
    if traits.get(LOGINS) or not _is_login(name):
        return traits
    return {**traits, LOGINS: (name,)}
