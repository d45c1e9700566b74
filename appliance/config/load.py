"""Text to `Config`. Every mistake is told at once, each with its file, line, key and expectation."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent

from appliance.config.schema import Config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pydantic_core import ErrorDetails

MAX_BYTES = 1 << 20
"""A configuration larger than 1 MiB is a mistake."""


class ConfigError(Exception):
    """The configuration can't be used; the message has a line for each mistake."""


def load(path: Path, settings: Mapping[str, str] | None = None) -> Config:
    """Read a configuration file; raises `ConfigError`. A relative `data_dir` starts at the file's folder.

    `settings` maps dotted keys to texts that go before the file's: what was said on the command line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    config = parse(data, str(path), settings or {})
    if config.data_dir.is_absolute():
        return config
    section = config.sallyport.model_copy(update={"data_dir": path.resolve().parent / config.data_dir})
    return config.model_copy(update={"sallyport": section})


def parse(data: bytes, name: str = "<configuration>", settings: Mapping[str, str] | None = None) -> Config:
    """Parse the text of a configuration file called `name`; raises `ConfigError`."""
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{name}: larger than {MAX_BYTES} bytes")
    document = _read(data, name)
    try:
        return Config.model_validate(_with_settings(_plain(document) or {}, settings or {}))
    except ValidationError as error:
        lines = [_line(name, document, detail) for detail in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def _read(data: bytes, name: str) -> Any:
    """Return the YAML value of a text, with its lines; no aliases, which make a small text a large value."""
    try:
        text = data.decode("utf-8")
        for event in YAML(pure=True).parse(text):
            if isinstance(event, AliasEvent):
                mark = event.start_mark
                raise ConfigError(f"{name}:{mark.line + 1}:{mark.column + 1}: aliases are not read here")
        return YAML().load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise ConfigError(f"{place}: not valid YAML: {error.problem}") from error
    except (YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(f"{name}: not valid YAML: {str(error).splitlines()[0]}") from error


def _with_settings(document: Any, settings: Mapping[str, str]) -> Any:
    for dotted, text in settings.items():
        *sections, key = dotted.split(".")
        place = document
        for section in sections:
            if isinstance(place, dict) and place.get(section) is None:
                place[section] = {}
            place = place[section] if isinstance(place, dict) else None
        if not isinstance(place, dict):
            raise ConfigError(f"{dotted}: there is no such key to set")
        place[key] = _plain(_read(text.encode(), f"{dotted}={text}"))
    return document


def _plain(node: Any) -> Any:
    if isinstance(node, CommentedMap):
        return {key: _plain(value) for key, value in node.items()}
    if isinstance(node, CommentedSeq):
        return [_plain(value) for value in node]
    return node


def _line(name: str, document: Any, detail: ErrorDetails) -> str:
    path = [part for part in detail["loc"] if part not in {"file", "pkcs11", "piv"}]
    line, column = _position(document, path)
    key = ".".join(str(part) for part in path) or "the file"
    return f"{name}:{line}:{column}: {key}: {_meaning(detail, path)}"


def _meaning(detail: ErrorDetails, path: list[int | str]) -> str:
    if detail["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(path[-1]), _keys_at(path[:-1]), n=1)
        return "unknown key" + (f", did you mean {near[0]}?" if near else "")
    if detail["type"] == "missing":
        return "missing"
    if detail["type"] == "model_type":
        return "expected a section: further keys, each on a line of its own, indented"
    message = detail["msg"].removeprefix("Value error, ")
    return message.replace("Input should be ", "expected ", 1)


def _keys_at(path: list[int | str]) -> list[str]:
    model: type[BaseModel] = Config
    for part in path:
        field = model.model_fields.get(str(part))
        if (
            field is None
            or not isinstance(field.annotation, type)
            or not issubclass(field.annotation, BaseModel)
        ):
            return []
        model = field.annotation
    return list(model.model_fields)


def _position(document: Any, path: list[int | str]) -> tuple[int, int]:
    line, column, node = 0, 0, document
    for part in path:
        if isinstance(node, CommentedMap) and part in node:
            line, column = node.lc.key(part)
        elif isinstance(node, CommentedSeq) and isinstance(part, int) and part < len(node):
            line, column = node.lc.item(part)
        else:
            break
        node = node[part]
    return line + 1, column + 1
