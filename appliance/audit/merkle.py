"""The Merkle tree of RFC 6962 §2.1 over the hashes of the lines. Pure.

A node is named by its level and its index on that level; it stands for the complete subtree over
the leaves `index << level` up to `(index + 1) << level`. Proofs are made from complete nodes only,
which never change again, so they can be kept in files that only grow (see `tree`).
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Sequence

HASH_SIZE = 32
EMPTY_ROOT = hashlib.sha256().digest()
Node = Callable[[int, int], bytes]
"""Returns the hash of the complete node at (level, index)."""


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def split(size: int) -> int:
    """Return the largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def subtree(first: int, size: int, node: Node) -> bytes:
    """Return the hash over `size` leaves from `first` on, which lies on a boundary of the tree."""
    if size & (size - 1) == 0:
        level = size.bit_length() - 1
        return node(level, first >> level)
    left = split(size)
    return node_hash(subtree(first, left, node), subtree(first + left, size - left, node))


def root(size: int, node: Node) -> bytes:
    """Return the root over the first `size` leaves."""
    return subtree(0, size, node) if size else EMPTY_ROOT


def inclusion_proof(index: int, size: int, node: Node) -> list[bytes]:
    """Return the audit path of a leaf in the tree of that size (RFC 6962 §2.1.1)."""
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    return _path(index, 0, size, node)


def _path(index: int, first: int, size: int, node: Node) -> list[bytes]:
    if size == 1:
        return []
    left = split(size)
    if index < left:
        return [*_path(index, first, left, node), subtree(first + left, size - left, node)]
    return [*_path(index - left, first + left, size - left, node), subtree(first, left, node)]


def consistency_proof(old: int, new: int, node: Node) -> list[bytes]:
    """Return the proof that the tree of `new` leaves begins with that of `old` (RFC 6962 §2.1.2)."""
    if not 0 <= old <= new:
        raise ValueError(f"a tree of {old} leaves does not come before one of {new}")
    return _subproof(old, 0, new, node, whole=True) if 0 < old < new else []


def _subproof(old: int, first: int, size: int, node: Node, *, whole: bool) -> list[bytes]:
    if old == size:
        return [] if whole else [subtree(first, size, node)]
    left = split(size)
    if old <= left:
        return [
            *_subproof(old, first, left, node, whole=whole),
            subtree(first + left, size - left, node),
        ]
    return [
        *_subproof(old - left, first + left, size - left, node, whole=False),
        subtree(first, left, node),
    ]


def verify_inclusion(index: int, size: int, leaf: bytes, proof: Sequence[bytes], expected: bytes) -> bool:
    """Return whether the proof shows the leaf at `index` under the root (RFC 9162 §2.1.3.2)."""
    if not 0 <= index < size:
        return False
    position, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if position & 1 or position == last:
            found = node_hash(step, found)
            while position & 1 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            found = node_hash(found, step)
        position, last = position >> 1, last >> 1
    return last == 0 and hmac.compare_digest(found, expected)


def verify_consistency(old: int, new: int, proof: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    """Return whether the proof shows that one tree continues the other (RFC 9162 §2.1.4.2)."""
    if not 0 <= old <= new:
        return False
    if old == new:
        return not proof and hmac.compare_digest(old_root, new_root)
    if old == 0:
        return not proof and hmac.compare_digest(old_root, EMPTY_ROOT)
    steps = [old_root, *proof] if old & (old - 1) == 0 else [*proof]
    return bool(steps) and _fold_both(old, new, steps, old_root, new_root)


def _fold_both(old: int, new: int, steps: Sequence[bytes], old_root: bytes, new_root: bytes) -> bool:
    position, last = old - 1, new - 1
    while position & 1:
        position, last = position >> 1, last >> 1
    earlier = later = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if position & 1 or position == last:
            earlier, later = node_hash(step, earlier), node_hash(step, later)
            while position & 1 == 0 and position:
                position, last = position >> 1, last >> 1
        else:
            later = node_hash(later, step)
        position, last = position >> 1, last >> 1
    same = hmac.compare_digest(earlier, old_root) and hmac.compare_digest(later, new_root)
    return last == 0 and same


class Frontier:
    """The roots of the complete subtrees of a growing tree: enough for its root, in 64 hashes at most."""

    def __init__(self) -> None:
        self.size = 0
        self._peaks: list[bytes] = []

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        carry, size = leaf, self.size
        while size & 1:
            carry = node_hash(self._peaks.pop(), carry)
            size >>= 1
        self._peaks.append(carry)
        self.size += 1

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._peaks:
            return EMPTY_ROOT
        found = self._peaks[-1]
        for peak in reversed(self._peaks[:-1]):
            found = node_hash(peak, found)
        return found
