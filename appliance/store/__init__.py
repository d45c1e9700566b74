"""What the auth service remembers: keys to values, atomically, durably, with expiry and watches.

`Backend` is the one interface; `memory` and `sqlite` are its adapters and pass one contract suite.
`auth` alone opens it. Values are opaque bytes; `Repository` puts a frozen dataclass in them.

    keys        what a key may be, and how names become segments of one
    backend     Backend, Item, the typed operations of a transaction, Page, Watch
    commit      may this operation be done, and what does it leave: pure, shared by the adapters
    changes     the watch: asks the store for what is newer, woken by a signal; keeps no queue
    memory      Backend in a dictionary
    sqlite      Backend in one SQLite file, one writer thread with group commit, readers anywhere
    sqlite_file opening that file: never an empty one where one was expected, never a damaged one
    migrations  the schema, version by version
    repository  Repository[T]: one noun, its key, its codec
    errors      the error family

What a commit means: when `transact` returns, all its operations are on the disk; when it raises
anything but `Unavailable`, none of them is and none ever will be. After `Unavailable` (a disk
error, a time-out) the caller reads before it decides.

Limits: keys 512 bytes, values 384 KiB, 96 operations a transaction (so that etcd and DynamoDB can
hold the same data); a watch can resume over the last 10 000 removals.
"""
