"""The role written as the document it would be read from: the inverse of `role_document.parse_role`.

Only what the role says is written; a field left out reads back as saying nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from appliance.domain.document import duration_text
from appliance.domain.role import (
    Conditions,
    LabelPatterns,
    RequestConditions,
    ResourceKind,
    Role,
    RoleOptions,
    RoleVersion,
    SessionMfa,
)
from appliance.domain.role_document import LOGINS_FIELDS, MFA_NAMES, Document


def role_to_document(role: Role) -> Document:
    """Return the document that `parse_role` reads as this role; fields that say nothing are left out."""
    metadata: Document = {"name": role.name, "description": role.description, "labels": dict(role.labels)}
    metadata |= {"expires": role.expires, "revision": role.revision}
    spec = {
        "options": _options_out(role.options),
        "allow": _conditions_out(role.allow, version=role.version),
        "deny": _conditions_out(role.deny, version=None),
    }
    return {"kind": "role", "version": str(role.version), "metadata": _said(metadata), "spec": _said(spec)}


def _said(document: Mapping[str, object]) -> Document:
    written = ((name, _out(value)) for name, value in document.items())
    return {name: value for name, value in written if value not in (None, "", [], {})}


def _out(value: Any) -> object:  # noqa: PLR0911 - one case a kind of value
    match value:
        case SessionMfa():
            return _mfa_out(value)
        case StrEnum():
            return str(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
        case timedelta():
            return duration_text(value)
        case tuple():
            return [_out(item) for item in value]
        case _ if hasattr(value, "__dataclass_fields__"):
            return _said({field.name: getattr(value, field.name) for field in fields(value)})
    return value


def _mfa_out(mfa: SessionMfa) -> object:
    return str(mfa) if mfa in MFA_NAMES.values() else bool(mfa)


def _options_out(options: RoleOptions) -> Document:
    out = _said({field.name: getattr(options, field.name) for field in fields(options)})
    default, ssh = out.pop("record_default", None), out.pop("record_ssh", None)
    return out | _said({"record_session": _said({"default": default, "ssh": ssh})})


def _labels_out(name: str, labels: LabelPatterns, *, always: bool) -> Document:
    return {name: {key: list(values) for key, values in labels}} if labels or always else {}


def _conditions_out(conditions: Conditions, *, version: RoleVersion | None) -> Document:
    named = (
        "logins",
        "node_labels_expression",
        "rules",
        "impersonate",
        "require_session_join",
        "join_sessions",
    )
    out = _said({name: getattr(conditions, name) for name in named})
    for kind in ResourceKind:
        one = conditions.on(kind)
        out |= _labels_out(f"{kind}_labels", one.labels, always=version is RoleVersion.V3)
        if kind is not ResourceKind.NODE:
            out |= _said({f"{kind}_labels_expression": one.expression})
            out |= _said({LOGINS_FIELDS[kind] or "": one.logins})
    return out | _said(
        {"request": _request_out(conditions.request), "review_requests": conditions.review_requests}
    )


def _request_out(request: RequestConditions) -> Document:
    out = _said({field.name: getattr(request, field.name) for field in fields(request)})
    out |= _labels_out("annotations", request.annotations, always=False)
    return out | _said({"reason": _said({"mode": request.reason})})
