"""Short ways to say a role, a person and a node in tests; roles pass through the real reader."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from appliance.domain.role_document import parse_role
from appliance.policy.check import check_role
from appliance.policy.outcome import Resource, Subject

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def document(name, *, version="v7", allow=None, deny=None, **options):
    spec = {"options": options, "allow": allow or {}, "deny": deny or {}}
    return {"kind": "role", "version": version, "metadata": {"name": name}, "spec": spec}


def role(name, *, version="v7", allow=None, deny=None, **options):
    parsed = parse_role(document(name, version=version, allow=allow, deny=deny, **options))
    check_role(parsed)
    return parsed


def person(name="alice", *, life=8 * HOUR, **traits):
    return Subject(name=name, expires=NOW + life, traits={key: tuple(v) for key, v in traits.items()})


def node(name="node-1", **labels):
    return Resource(name=name, labels=labels)
