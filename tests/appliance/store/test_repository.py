from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import pytest

from appliance.domain import errors as domain
from appliance.store.errors import AlreadyExists, Conflict, Corrupt, NotFound, Unavailable
from appliance.store.memory import MemoryBackend
from appliance.store.repository import Repository
from tests.support.hand_clock import START, HandClock


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    user: str
    device: str
    uses: int = 0
    expires_at: datetime | None = None


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def backend(clock):
    return MemoryBackend(clock=clock)


@pytest.fixture
def tokens(backend):
    return Repository(
        backend,
        prefix="tokens",
        kind=Token,
        name=lambda token: (token.user, token.device),
        expires=lambda token: token.expires_at,
    )


def test_a_value_comes_back_as_it_was_with_its_revision(tokens):
    created = tokens.create(Token(user="joe", device="yubikey", expires_at=START + timedelta(hours=1)))
    assert tokens.get(("joe", "yubikey")) == created
    assert tokens.find(("joe", "other")) is None


def test_names_that_people_choose_stay_apart(tokens):
    tokens.create(Token(user="a/b", device="c"))
    tokens.create(Token(user="a", device="b/c"))
    assert [stored.value.user for stored in tokens.list(under="a")] == ["a"]
    assert len(list(tokens.list())) == 2


def test_values_are_listed_by_page_and_under_their_first_name(tokens):
    for user in ("ann", "joe"):
        for i in range(5):
            tokens.put(Token(user=user, device=f"d{i}"))
    first = tokens.page(limit=7)
    second = tokens.page(start=first.next, limit=7)
    assert [len(first.items), len(second.items), second.next] == [7, 3, None]
    assert [stored.value.device for stored in tokens.list(under="joe")] == [f"d{i}" for i in range(5)]


def test_creating_twice_updating_late_and_deleting_late_are_refused(tokens):
    created = tokens.create(Token(user="joe", device="d"))
    with pytest.raises(AlreadyExists):
        tokens.create(created.value)
    updated = tokens.update(replace(created.value, uses=1), created.revision)
    with pytest.raises(Conflict):
        tokens.update(created.value, created.revision)
    with pytest.raises(Conflict):
        tokens.delete(("joe", "d"), created.revision)
    tokens.delete(("joe", "d"), updated.revision)
    with pytest.raises(NotFound):
        tokens.get(("joe", "d"))


def test_an_expired_value_is_gone(tokens, clock):
    tokens.create(Token(user="joe", device="d", expires_at=clock.now() + timedelta(minutes=5)))
    clock.forward(minutes=5)
    with pytest.raises(NotFound):
        tokens.get(("joe", "d"))


def test_modify_loses_no_change_between_threads(tokens):
    tokens.create(Token(user="joe", device="d"))
    with ThreadPoolExecutor(8) as pool:
        list(
            pool.map(
                lambda _: tokens.modify(("joe", "d"), lambda token: replace(token, uses=token.uses + 1)),
                range(200),
            )
        )
    assert tokens.get(("joe", "d")).value.uses == 200


def test_modify_that_changes_nothing_writes_nothing(tokens, backend):
    tokens.create(Token(user="joe", device="d"))
    before = backend.revision()
    tokens.modify(("joe", "d"), lambda token: token)
    assert backend.revision() == before


def test_modify_gives_up_after_a_bounded_number_of_tries(tokens, monkeypatch):
    tokens.create(Token(user="joe", device="d"))
    tries = []

    def always_late(token):
        tries.append(1)
        tokens.put(replace(token, uses=token.uses + 1))
        return replace(token, uses=0, device="d", user="joe", expires_at=START + timedelta(days=1))

    with pytest.raises(Unavailable):
        tokens.modify(("joe", "d"), always_late)
    assert len(tries) == 100


def test_operations_of_several_values_are_one_transaction(tokens, backend):
    kept = tokens.create(Token(user="joe", device="old"))
    operations = [
        tokens.creation(Token(user="joe", device="new")),
        tokens.deletion(("joe", "old"), kept.revision + 1),
    ]
    with pytest.raises(Conflict):
        backend.transact(operations)
    assert tokens.find(("joe", "new")) is None
    backend.transact([operations[0], tokens.replacement(replace(kept.value, uses=3), kept.revision)])
    assert tokens.get(("joe", "old")).value.uses == 3


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"user":"joe"}', b'{"user":1,"device":"d"}', b"\xff"])
def test_bytes_that_are_no_such_value_are_damage_and_not_an_empty_value(tokens, backend, data):
    backend.put("tokens/joe/d", data)
    with pytest.raises(Corrupt, match="tokens/joe/d"):
        tokens.get(("joe", "d"))


def test_store_errors_are_the_errors_of_the_api(tokens):
    with pytest.raises(domain.NotFound):
        tokens.get(("joe", "d"))
    token = tokens.create(Token(user="joe", device="d"))
    with pytest.raises(domain.Exists):
        tokens.create(token.value)
    with pytest.raises(domain.Conflict):
        tokens.update(token.value, token.revision + 1)


def test_watched_items_decode_to_values(tokens, backend):
    with backend.watch("tokens/") as watch:
        created = tokens.create(Token(user="joe", device="d"))
        assert [tokens.decode(item) for item in watch.poll(1)] == [created]
