"""The schema of the SQLite file, version by version.

A version is never changed once it was released; the next one is added at the end. Each runs in one
transaction with the number that says it was done, so a crash leaves the old schema or the new one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sqlite_utils import Database

from appliance.store.errors import SchemaTooNew


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One step; `apply` is called inside a transaction."""

    version: int
    name: str
    apply: Callable[[Database], None]


def _items_and_removals(db: Database) -> None:
    items = db.table("items").create(
        {"key": str, "value": bytes, "revision": int, "expires_at": int, "checksum": int},
        pk="key",
        not_null={"value", "revision", "checksum"},
        strict=True,
    )
    items.create_index(["revision"])
    db.execute("CREATE INDEX items_expiry ON items (expires_at) WHERE expires_at IS NOT NULL")
    removals = db.table("removals").create({"key": str, "revision": int}, pk="key", strict=True)
    removals.create_index(["revision"])
    counters = db.table("counters").create({"name": str, "value": int}, pk="name", strict=True)
    counters.insert_all([{"name": "revision", "value": 0}, {"name": "compacted", "value": 0}])
    db.table("identity").create({"id": str}, pk="id", strict=True)


MIGRATIONS: tuple[Migration, ...] = (
    Migration(version=1, name="items, removals and counters", apply=_items_and_removals),
)


def schema_version(db: Database) -> int:
    """Return the number of the last migration that was done; 0 for none."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def migrate(db: Database, migrations: tuple[Migration, ...] = MIGRATIONS) -> None:
    """Do every migration that is missing, in order; raises `SchemaTooNew` for a downgrade."""
    found, known = schema_version(db), migrations[-1].version
    if found > known:
        raise SchemaTooNew(found=found, known=known)
    for migration in migrations:
        if migration.version > found:
            _apply(db, migration)


def _apply(db: Database, migration: Migration) -> None:
    db.execute("BEGIN IMMEDIATE")
    try:
        migration.apply(db)
        db.execute(f"PRAGMA user_version = {migration.version:d}")
        db.execute("COMMIT")
    except BaseException:
        db.rollback()
        raise
