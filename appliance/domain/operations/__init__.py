"""Everything the auth service can be asked, as one table; permission to call is a part of it.

    operation  one row: name, request, response, who may call, which rule a person needs
    people     accounts, sign-up links, signing in
    ssh        what the SSH edge asks: certify, authorize, report, record
    nodes      machines and how they join
    custody    authorities, certificates, the token
    journal    sessions, recordings, events
    resources  every kind of resource as a document
    access     who may what, explained
    challenges fresh proofs for exactly one thing
    devices    a person's own second factors

`OPERATIONS` is the table itself. Nothing answers that is not in it.
"""

from __future__ import annotations

from typing import Any

from appliance.domain.operations import (
    access,
    challenges,
    custody,
    devices,
    journal,
    nodes,
    people,
    resources,
    ssh,
)
from appliance.domain.operations.operation import Caller, Operation, Rule

__all__ = ["OPERATIONS", "Caller", "Operation", "Rule"]

OPERATIONS: dict[str, Operation[Any, Any]] = {
    operation.name: operation
    for module in (people, ssh, nodes, custody, journal, resources, access, challenges, devices)
    for operation in module.TABLE
}
