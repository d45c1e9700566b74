"""Label expressions over all nodes at once: `&&`, `||`, `!` become `&`, `|`, `~` of bit sets.

A part of an expression that looks at one label is tested once for each value that exists, not for
each node. Only a part that compares two labels with each other is tested node by node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.policy.nodes import NodeIndex, bits_of
from appliance.policy.syntax import And, Call, Equal, Item, Name, Not, Or, Text, Tree, Truth
from appliance.policy.where import NODE_SCHEMA, Context, predicate_of

if TYPE_CHECKING:
    from collections.abc import Hashable

_LABELS = "labels"


def expression_bits(tree: Tree, nodes: NodeIndex, context: Context, person: Hashable) -> int:
    """Return the bit set of the nodes for which the expression holds.

    `person` identifies the rest of the context (name, roles, traits), for what is kept in the index.
    """
    match tree:
        case And(items):
            bits = nodes.live
            for item in items:
                bits &= expression_bits(item, nodes, context, person)
            return bits
        case Or(items):
            bits = 0
            for item in items:
                bits |= expression_bits(item, nodes, context, person)
            return bits
        case Not(item):
            return nodes.live & ~expression_bits(item, nodes, context, person)
    return _leaf_bits(tree, nodes, context, person)


def _leaf_bits(tree: Tree, nodes: NodeIndex, context: Context, person: Hashable) -> int:
    names = _names(tree)
    keys = {name.removeprefix("labels.") for name in names if name.startswith("labels.")}
    holds = predicate_of(tree, NODE_SCHEMA)
    if _LABELS in names or len(keys) > 1:
        found = (one for one, labels in nodes.each(nodes.live) if holds({**context, _LABELS: labels}))
        return bits_of(found)
    absent = holds({**context, _LABELS: {}})
    if not keys:
        return nodes.live if absent else 0
    (key,) = keys
    # Nodes without the label count as the empty text: keep the values that *change* the answer.
    identity = (tree, absent, person if any(name.startswith("user.") for name in names) else None)
    changed = nodes.having(
        key, identity, lambda value: holds({**context, _LABELS: {key: value}}) is not absent
    )
    return nodes.live & ~changed if absent else changed


def _names(tree: Tree) -> set[str]:
    match tree:
        case Item(Name("labels"), key):
            return {f"labels.{key}"}
        case Name(name):
            return {name}
        case Text() | Truth():
            return set()
        case Item(of, _) | Not(of):
            return _names(of)
        case Call(_, items) | And(items) | Or(items):
            return set().union(*(_names(item) for item in items))
        case Equal(left, right):
            return _names(left) | _names(right)
