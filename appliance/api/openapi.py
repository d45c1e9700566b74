"""The OpenAPI description, generated from the table of operations."""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from datetime import datetime, timedelta
from enum import Flag, StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

from appliance import __version__
from appliance.domain.codec import TAG
from appliance.domain.operations import OPERATIONS, Operation

Schema = dict[str, Any]
PLAIN: dict[Any, Schema] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    float: {"type": "number"},
    bool: {"type": "boolean"},
    bytes: {"type": "string", "contentEncoding": "base64"},
    datetime: {"type": "string", "format": "date-time"},
    timedelta: {"type": "number", "description": "seconds"},
    type(None): {"type": "null"},
    Any: {},
}


def describe(version: str) -> Schema:
    """Return the OpenAPI 3.1 document."""
    schemas: dict[str, Schema] = {}
    paths = {f"/v1/{name}": {"post": _operation(one, schemas)} for name, one in OPERATIONS.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Sallyport auth API", "version": version},
        "paths": paths,
        "components": {"schemas": dict(sorted(schemas.items()))},
    }


def _operation(operation: Operation[Any, Any], schemas: dict[str, Schema]) -> Schema:
    description: Schema = {
        "operationId": operation.name,
        "summary": operation.summary,
        "x-callers": sorted(operation.callers),
        "x-admin": operation.admin,
        "requestBody": {"content": {"application/json": {"schema": _schema(operation.request, schemas)}}},
        "responses": {
            "200": {
                "description": "done",
                "content": {"application/json": {"schema": _schema(operation.response, schemas)}},
            }
        },
    }
    if operation.rule is not None:
        description["x-rule"] = {"resource": operation.rule.resource, "verb": operation.rule.verb}
    return description


def _schema(kind: Any, schemas: dict[str, Schema]) -> Schema:  # noqa: PLR0911 - a flat table of types
    kind = getattr(kind, "__supertype__", kind)
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        return {"anyOf": [_schema(one, schemas) for one in get_args(kind)]}
    if origin in (tuple, frozenset, list):
        return {"type": "array", "items": _schema(get_args(kind)[0], schemas)}
    if origin in (dict, Mapping):
        return {"type": "object", "additionalProperties": _schema(get_args(kind)[1], schemas)}
    if is_dataclass(kind) and isinstance(kind, type):
        return _reference(kind, schemas)
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"type": "string", "enum": [str(member) for member in kind]}
    if isinstance(kind, type) and issubclass(kind, Flag):
        return {"type": "integer"}
    return PLAIN[kind]


def _reference(kind: type, schemas: dict[str, Schema]) -> Schema:
    if kind.__name__ not in schemas:
        schemas[kind.__name__] = {}  # a place first: types may refer to themselves
        schemas[kind.__name__] = _object(kind, schemas)
    return {"$ref": f"#/components/schemas/{kind.__name__}"}


def _object(kind: type, schemas: dict[str, Schema]) -> Schema:
    hints = get_type_hints(kind)
    tagged = getattr(kind, "__tagged__", False)
    properties = {TAG: {"const": kind.__name__}} if tagged else {}
    required = [TAG] if tagged else []
    for field in fields(kind):
        properties[field.name] = _schema(hints[field.name], schemas)
        if field.default is MISSING and field.default_factory is MISSING:
            required.append(field.name)
    return {
        "type": "object",
        "description": " ".join((kind.__doc__ or "").split()),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def text() -> str:
    """Return the description of this version as the file in docs/ has it."""
    return json.dumps(describe(__version__), indent=1, sort_keys=True) + "\n"


if __name__ == "__main__":
    sys.stdout.write(text())
