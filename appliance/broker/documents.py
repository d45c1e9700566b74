"""The text of resources, parsed: plain values, and for each mistake the line it stands in.

YAML is read with nothing of it that could surprise: no anchors or aliases (a small text must not
become a large value), no tags, no keys given twice, no nesting beyond 32 levels; moments stay texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.constructor import RoundTripConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent

from appliance.domain.errors import Invalid
from appliance.domain.operations.resources import MAX_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.domain.document import DocumentError, Path

MAX_DEPTH = 32
MAX_DOCUMENTS = 64


class _PlainTimes(RoundTripConstructor):
    """Moments stay the texts they were written as: the readers of the kinds know what to make of them."""


_PlainTimes.add_constructor("tag:yaml.org,2002:timestamp", lambda _, node: node.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One document, with what is needed to find its lines."""

    content: dict[str, Any]
    node: CommentedMap

    def located(self, error: DocumentError) -> Invalid:
        """Return the error with the line of its path in front."""
        return Invalid(f"line {_line(self.node, error.path)}: {error}")


def read_documents(text: str) -> tuple[Written, ...]:
    """Return the documents of a text, lists taken apart; raises `Invalid` with a line."""
    if len(text) > MAX_TEXT:
        raise Invalid(f"more than {MAX_TEXT} characters of documents")
    try:
        _check_events(text)
        found = tuple(_documents(text))
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise Invalid(f"line {mark.line + 1 if mark else 1}: not valid YAML: {error.problem}") from error
    except (YAMLError, ValueError) as error:
        raise Invalid(f"not valid YAML: {error}") from error
    if not 0 < len(found) <= MAX_DOCUMENTS:
        raise Invalid(f"expected 1 to {MAX_DOCUMENTS} documents, not {len(found)}")
    return found


def _check_events(text: str) -> None:
    depth = 0
    for event in YAML(pure=True).parse(text):
        line = event.start_mark.line + 1
        if isinstance(event, AliasEvent) or (isinstance(event, NodeEvent) and event.anchor):
            raise Invalid(f"line {line}: anchors and aliases are not read here")
        if isinstance(event, CollectionStartEvent):
            depth += 1
        depth -= isinstance(event, CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise Invalid(f"line {line}: nested deeper than {MAX_DEPTH} levels")
        tag = getattr(event, "tag", None)
        if tag is not None and str(tag) != "!":
            raise Invalid(f"line {line}: tags are not read here")


def _documents(text: str) -> Iterator[Written]:
    yaml = YAML(typ="rt", pure=True)
    yaml.Constructor = _PlainTimes
    for document in yaml.load_all(text):
        if document is None:
            continue
        for node in document if isinstance(document, CommentedSeq) else (document,):
            if not isinstance(node, CommentedMap):
                raise Invalid("each document is a mapping that begins with kind, or a list of such")
            yield Written(content=_plain(node, node.lc.line), node=node)


def _plain(node: Any, line: int) -> Any:
    match node:
        case CommentedMap():
            return {_key(key, node): _plain(value, node.lc.key(key)[0]) for key, value in node.items()}
        case CommentedSeq():
            return [_plain(value, node.lc.item(place)[0]) for place, value in enumerate(node)]
        case bool() | None:
            return node
        case int():
            return int(node)
        case float():
            return float(node)
        case str():
            return str(node)
    raise Invalid(f"line {line + 1}: a value that is neither text, number, list nor mapping")


def _key(key: object, node: CommentedMap) -> str:
    if isinstance(key, str):
        return str(key)
    raise Invalid(f"line {node.lc.key(key)[0] + 1}: expected a key of text")


def _line(node: Any, path: Path) -> int:
    line = int(node.lc.line)
    for step in path:
        if isinstance(node, CommentedMap) and step in node:
            line = int(node.lc.key(step)[0])
        elif isinstance(node, CommentedSeq) and isinstance(step, int) and step < len(node):
            line = int(node.lc.item(step)[0])
        else:
            break
        node = node[step]
    return line + 1
