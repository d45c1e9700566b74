import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.audit import merkle
from appliance.audit.chain import leaf_hash
from appliance.audit.errors import ChainBroken
from appliance.audit.tree import HashTree

VECTORS = json.loads((Path(__file__).parents[2] / "vectors" / "audit" / "rfc6962.json").read_text())
LEAVES = [leaf_hash(bytes.fromhex(leaf)) for leaf in VECTORS["leaves"]]
ROOTS = [bytes.fromhex(root) for root in VECTORS["roots"]]


def in_memory(leaves):
    levels = [list(leaves)]
    while len(levels[-1]) > 1:
        below = levels[-1]
        levels.append([merkle.node_hash(a, b) for a, b in zip(below[::2], below[1::2], strict=False)])
    return lambda level, index: levels[level][index]


def by_definition(leaves):
    """The recursive definition of RFC 6962 §2.1, word for word."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return hashlib.sha256(b"\x01" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


def many(count):
    return [leaf_hash(str(i).encode()) for i in range(count)]


@pytest.mark.parametrize("size", range(9))
def test_the_roots_are_the_published_ones(size):
    assert merkle.root(size, in_memory(LEAVES)) == ROOTS[size]
    frontier = merkle.Frontier()
    for leaf in LEAVES[:size]:
        frontier.append(leaf)
    assert frontier.root() == ROOTS[size]


@pytest.mark.parametrize("case", VECTORS["inclusion"])
def test_inclusion_proofs_are_the_published_ones(case):
    proof = [bytes.fromhex(step) for step in case["proof"]]
    index, size = case["index"], case["size"]
    assert merkle.inclusion_proof(index, size, in_memory(LEAVES)) == proof
    assert merkle.verify_inclusion(index, size, LEAVES[index], proof, ROOTS[size])


@pytest.mark.parametrize("case", VECTORS["consistency"])
def test_consistency_proofs_are_the_published_ones(case):
    proof = [bytes.fromhex(step) for step in case["proof"]]
    old, new = case["old"], case["new"]
    assert merkle.consistency_proof(old, new, in_memory(LEAVES)) == proof
    assert merkle.verify_consistency(old, new, proof, ROOTS[old], ROOTS[new])


@pytest.mark.parametrize("size", range(1, 34))
def test_every_inclusion_proof_shows_its_own_leaf_at_its_own_place_only(size):
    leaves = many(size)
    node, root = in_memory(leaves), by_definition(leaves)
    for index in range(size):
        proof = merkle.inclusion_proof(index, size, node)
        assert merkle.verify_inclusion(index, size, leaves[index], proof, root)
        assert not merkle.verify_inclusion(index, size, leaf_hash(b"other"), proof, root)
        assert not any(
            merkle.verify_inclusion(other, size, leaves[index], proof, root)
            for other in range(size)
            if other != index
        )
        assert not merkle.verify_inclusion(index, size, leaves[index], [*proof, root], root)
        if proof:
            assert not merkle.verify_inclusion(index, size, leaves[index], proof[:-1], root)


@pytest.mark.parametrize("new", range(1, 26))
def test_every_consistency_proof_shows_growth_and_no_other_history(new):
    leaves = many(new)
    node, root = in_memory(leaves), by_definition(leaves)
    for old in range(new + 1):
        before = by_definition(leaves[:old])
        proof = merkle.consistency_proof(old, new, node)
        assert merkle.verify_consistency(old, new, proof, before, root)
        assert not merkle.verify_consistency(old, new, proof, leaf_hash(b"other"), root)
        assert old == 0 or not merkle.verify_consistency(old, new, proof, before, leaf_hash(b"other"))
        assert not merkle.verify_consistency(old, new, [*proof, root], before, root)
        if proof:
            assert not merkle.verify_consistency(old, new, proof[:-1], before, root)


@settings(deadline=None)
@given(size=st.integers(1, 300), data=st.data())
def test_a_proof_with_any_bit_changed_shows_nothing(size, data):
    leaves = many(size)
    index = data.draw(st.integers(0, size - 1))
    proof = merkle.inclusion_proof(index, size, in_memory(leaves))
    root = by_definition(leaves)
    if proof:
        step, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        changed = (int.from_bytes(proof[step]) ^ 1 << bit).to_bytes(32)
        assert not merkle.verify_inclusion(
            index, size, leaves[index], [*proof[:step], changed, *proof[step + 1 :]], root
        )


@pytest.mark.parametrize("place", [(5, 5), (-1, 5), (0, 0)])
def test_there_is_no_proof_for_a_leaf_that_is_not_there(place):
    index, size = place
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion_proof(index, size, in_memory(LEAVES))
    assert not merkle.verify_inclusion(index, size, LEAVES[0], [], LEAVES[0])


@settings(deadline=None, max_examples=40)
@given(pieces=st.lists(st.integers(0, 40), max_size=8))
def test_a_tree_in_files_is_the_same_in_whatever_pieces_it_grows(tmp_path_factory, pieces):
    folder = tmp_path_factory.mktemp("tree")
    tree, leaves = HashTree(folder, size=0), many(sum(pieces))
    for piece in pieces:
        tree.append(leaves[tree.size : tree.size + piece])
    tree.sync()
    assert tree.root() == by_definition(leaves)
    again = HashTree(folder, size=tree.size)
    assert (again.size, again.root()) == (len(leaves), tree.root())
    assert all(again.root(size) == by_definition(leaves[:size]) for size in range(len(leaves) + 1))


@pytest.mark.parametrize("size", [0, 1, 6, 13, 20])
def test_a_tree_is_trusted_up_to_the_size_that_was_signed_and_goes_on_from_there(tmp_path, size):
    HashTree(tmp_path, size=0).append(many(20))
    tree = HashTree(tmp_path, size=size)
    assert tree.size == size
    tree.append(many(30)[size:])
    assert tree.root() == by_definition(many(30))


def test_a_tree_with_a_lost_level_begins_anew(tmp_path):
    HashTree(tmp_path, size=0).append(many(20))
    (tmp_path / "level-02").unlink()
    tree = HashTree(tmp_path, size=20)
    assert tree.size == 0
    with pytest.raises(ChainBroken):
        tree.node(0, 0)
