"""How long a decision and a list take: the compiled policy beside a naive evaluation, in one run.

    decision_us   one decision, (node, login) drawn at random over 100 000 nodes; goal: at most 5 µs
    list_ms       the names of all permitted nodes;                               goal: at most 10 ms

The naive evaluation is the plain definition (each role's conditions, one after the other, by the
same pattern functions), which is also what the tests hold the compiled one to. Roles carry two
label keys with literals, globs and expressions, some deny, some ask for a check. The garbage
collector stays on; the caches are those a running service has after its first requests.
"""

from __future__ import annotations

import random
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from appliance.domain.role import Conditions, Role, RoleOptions, SessionMfa
from appliance.policy.compiled import CompiledPolicy
from appliance.policy.labels import labels_match
from appliance.policy.outcome import Resource, Subject
from bench.frame import Plan, Row, value_row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NODES, QUICK_NODES = 100_000, 10_000
LOGINS = ("root", "alice", "deploy", "postgres", "nobody")
ENVIRONMENTS = ("dev", "staging", "prod", "qa", "prod-eu", "prod-us")
DECISIONS = 5_000
WARM = 20_000
ROUNDS = 15


def nodes(count: int = NODES, *, seed: int = 1) -> list[Resource]:
    """Return nodes with five labels, two of them with many values."""
    draw = random.Random(seed)
    return [
        Resource(
            name=f"node-{number}",
            labels={
                "env": draw.choice(ENVIRONMENTS),
                "team": f"team-{draw.randrange(100)}",
                "os": draw.choice(("debian", "alpine")),
                "rack": f"r{draw.randrange(1000)}",
                "host": f"host-{number}",
            },
        )
        for number in range(count)
    ]


def roles(count: int, *, seed: int = 2) -> list[Role]:
    """Return roles over two label keys each; every tenth denies, every seventh asks for a check."""
    draw = random.Random(seed)
    return [_role(number, draw) for number in range(count)]


def _role(number: int, draw: random.Random) -> Role:
    environment = draw.choice(("dev", "prod", "prod-*", "^(qa|staging)$"))
    team = draw.choice((f"team-{draw.randrange(100)}", f"team-{draw.randrange(10)}*"))
    logins = tuple(draw.sample(LOGINS[:4], 2))
    labels = (("env", (environment,)), ("team", (team, f"team-{draw.randrange(100)}")))
    if number % 10 == 9:
        deny = Conditions(node_labels=(("rack", (f"r{draw.randrange(1000)}",)), ("env", ("prod*",))))
        return Role(name=f"role-{number}", deny=deny)
    mfa = SessionMfa.CHECK if number % 7 == 0 else None
    return Role(
        name=f"role-{number}",
        options=RoleOptions(require_session_mfa=mfa),
        allow=Conditions(logins=logins, node_labels=labels),
    )


def naive_allowed(held: Sequence[Role], node: Resource, login: str) -> bool:
    """Decide by the plain definition, a check aside."""
    for role in held:
        if login in role.deny.logins or labels_match(role.deny.node_labels, node.labels):
            return False
    return any(login in r.allow.logins and labels_match(r.allow.node_labels, node.labels) for r in held)


def naive_list(held: Sequence[Role], every: Sequence[Resource]) -> list[str]:
    """List the permitted nodes by the plain definition."""
    logins = {login for role in held for login in role.allow.logins}
    return [node.name for node in every if any(naive_allowed(held, node, login) for login in logins)]


def _each_us(ask: Callable[[Resource, str], object], pairs: Sequence[tuple[Resource, str]]) -> list[float]:
    clock, samples = time.perf_counter_ns, []
    for node, login in pairs:
        started = clock()
        ask(node, login)
        samples.append((clock() - started) / 1000)
    return samples


def _rounds_ms(ask: Callable[[], object], rounds: int) -> list[float]:
    samples = []
    for _ in range(rounds):
        started = time.perf_counter_ns()
        ask()
        samples.append((time.perf_counter_ns() - started) / 1e6)
    return samples


def _measure(count: int, every: Sequence[Resource]) -> dict[str, Row]:
    held = roles(count)
    names = tuple(role.name for role in held)
    policy = CompiledPolicy(held)
    policy.nodes.put_many((node.name, node.labels) for node in every)
    subject = Subject(name="alice", expires=NOW + timedelta(hours=8))
    draw = random.Random(3)
    pairs = [(draw.choice(every), draw.choice(LOGINS)) for _ in range(DECISIONS)]
    others = [(draw.choice(every), draw.choice(LOGINS)) for _ in range(WARM)]
    first_us = _each_us(lambda node, login: policy.decide(subject, names, node, login, NOW), others)
    decided = _each_us(lambda node, login: policy.decide(subject, names, node, login, NOW), pairs)
    naive = _each_us(lambda node, login: naive_allowed(held, node, login), pairs[:200])
    first = _rounds_ms(lambda: policy.permitted_nodes(subject, names, NOW), 1)
    listed = _rounds_ms(lambda: policy.permitted_nodes(subject, names, NOW), ROUNDS)
    found = len(policy.permitted_nodes(subject, names, NOW))
    sample = every[:: max(1, len(every) // 2000)]
    naive_listed = [ms * len(every) / len(sample) for ms in _rounds_ms(lambda: naive_list(held, sample), 1)]
    size = f"{count} roles, {len(every)} nodes"
    deciding = f"{size}; {DECISIONS} random (node, login); the very first took {first_us[0]:.0f} us"
    listing = f"{size}, {found} permitted; the first list took {first[0]:.1f} ms"
    return {
        "decision_us": value_row(decided, "us", deciding),
        "naive_decision_us": value_row(naive, "us", size),
        "list_ms": value_row(listed, "ms", listing),
        "naive_list_ms": value_row(naive_listed, "ms", f"{size}; scaled from {len(sample)} nodes"),
    }


def rows(plan: Plan) -> dict[str, Row]:
    """Return the measured rows: `decision_us` and `list_ms` with 200 roles, and others beside them."""
    every = nodes(plan.size(NODES, QUICK_NODES))
    few, many = _measure(10, every), _measure(200, every)
    return many | {f"{name}_10_roles": row for name, row in few.items()}
