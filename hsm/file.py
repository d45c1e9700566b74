"""Keys in one encrypted file: for laptops, tests, and nowhere that a token can be had.

The file is three lines: a JSON header with the argon2id parameters, a check value and the nonce; the
ciphertext (ChaCha20-Poly1305, which also covers the header); and the SHA-256 of the two, so that
damage and a wrong passphrase can be told apart. Every change writes a new file beside it, syncs,
renames, and syncs the folder; a lock file lets several processes take turns.

Keys are in this process's memory once the file is open. It says so in every attestation.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import stat
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from hsm import softkey
from hsm.encoding import public_key
from hsm.errors import KeyExists, NoSuchKey, PinRefused, StoreDamaged
from hsm.provider import Algorithm, Attestation, AttestationKind, KeyInfo, KeyProvider, Probe

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from hsm.encoding.signature import Signature
    from hsm.naming import Namespace
    from hsm.secret import Secret

FORMAT = 1
_NONCE_SIZE = 12
_SALT_SIZE = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Argon2id's price: memory in KiB, passes, lanes. The default is RFC 9106's second choice."""

    memory: int = 64 * 1024
    passes: int = 3
    lanes: int = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lock:
    """The derived key, and the header it belongs to."""

    salt: bytes
    cost: Cost
    key: bytes = field(repr=False)

    @property
    def check(self) -> str:
        return hmac.new(self.key, b"sallyport file token", hashlib.sha256).hexdigest()[:16]

    def header(self, nonce: bytes) -> dict[str, Any]:
        return {
            "format": FORMAT,
            "kdf": "argon2id",
            "memory_kib": self.cost.memory,
            "passes": self.cost.passes,
            "lanes": self.cost.lanes,
            "salt": self.salt.hex(),
            "check": self.check,
            "nonce": nonce.hex(),
        }


class FileProvider(KeyProvider):
    """The encrypted file as a provider; open it with `FileProvider.open`."""

    def __init__(
        self, *, path: Path, namespace: Namespace, lock: _Lock, random: Callable[[int], bytes]
    ) -> None:
        self._path = path
        self._namespace = namespace
        self._lock = lock
        self._random = random
        self._turn = threading.RLock()
        self._seen: tuple[int, int, int] | None = None
        self._keys: dict[str, softkey.PrivateKey] = {}
        self._refresh()

    @classmethod
    def open(
        cls,
        path: Path,
        passphrase: Secret,
        namespace: Namespace,
        *,
        cost: Cost | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> FileProvider:
        """Open the file, or make an empty one; raises `PinRefused`, `StoreDamaged`.

        `cost` is for a new file; an old one keeps its own. Takes about 0.1 s, by design.
        """
        if not path.exists():
            lock = _derive(passphrase, random(_SALT_SIZE), cost or Cost())
            with _exclusive(path):
                if not path.exists():
                    _write(path, lock, {}, random)
        header, _ = _read(path)
        cost = Cost(memory=header["memory_kib"], passes=header["passes"], lanes=header["lanes"])
        lock = _derive(passphrase, bytes.fromhex(header["salt"]), cost)
        if not hmac.compare_digest(lock.check, str(header["check"])):
            raise PinRefused("the passphrase of the key file is wrong")
        return cls(path=path, namespace=namespace, lock=lock, random=random)

    def create(self, label: str, algorithm: Algorithm) -> KeyInfo:
        """Make a key and write it durably before it is returned."""
        self._namespace.require(label)
        with self._turn, _exclusive(self._path):
            self._refresh()
            if label in self._keys:
                raise KeyExists(f"there is a key {label!r} already")
            self._store({**self._keys, label: softkey.generate(algorithm)})
            return self._info(label)

    def public_key(self, label: str) -> bytes:
        """Return the public key as an SSH blob."""
        return self._info(label).public_key

    def sign(self, label: str, message: bytes) -> Signature:
        """Sign in this process."""
        return softkey.sign(self._key(label), message)

    def list(self) -> tuple[KeyInfo, ...]:
        """Return the keys of our range."""
        with self._turn:
            self._refresh()
            return tuple(self._info(label) for label in sorted(self._keys) if self._namespace.owns(label))

    def delete(self, label: str) -> None:
        """Write the file without that key."""
        with self._turn, _exclusive(self._path):
            self._refresh()
            self._key(label)
            self._store({name: key for name, key in self._keys.items() if name != label})

    def attest(self, label: str) -> Attestation:
        """Say that this is software."""
        self._key(label)
        statement = "Software key in an encrypted file; whoever has file and passphrase has the key."
        return Attestation(label=label, kind=AttestationKind.SOFTWARE, statement=statement)

    def probe(self) -> Probe:
        """Describe the file."""
        with self._turn:
            self._refresh()
        return Probe(
            model="encrypted file",
            serial=self._lock.salt.hex(),
            firmware=f"format {FORMAT}",
            hardware=False,
            mechanisms=("software",),
            algorithms=tuple(Algorithm),
            free_slots=None,
            pin_tries_left=None,
            notes=("keys are in memory while the file is open",),
        )

    def close(self) -> None:
        """Forget the keys."""
        with self._turn:
            self._keys = {}
            self._seen = None

    def _key(self, label: str) -> softkey.PrivateKey:
        with self._turn:
            self._namespace.require(label)
            if label not in self._keys:
                self._refresh()
            if label not in self._keys:
                raise NoSuchKey(f"no key {label!r} in the key file")
            return self._keys[label]

    def _info(self, label: str) -> KeyInfo:
        blob = public_key.dump(self._key(label).public_key())
        return KeyInfo(label=label, algorithm=public_key.algorithm_of(blob), public_key=blob)

    def _refresh(self) -> None:
        """Read the file again if another process has replaced it."""
        if self._seen == (mark := _mark(self._path)):
            return
        header, ciphertext = _read(self._path)
        if header != self._lock.header(bytes.fromhex(header["nonce"])):
            raise PinRefused("the key file was locked with another passphrase meanwhile")
        try:
            plain = _cipher(self._lock).decrypt(
                bytes.fromhex(header["nonce"]), ciphertext, _canonical(header)
            )
        except InvalidTag as error:
            raise StoreDamaged(f"{self._path}: the contents do not belong to their header") from error
        keys = json.loads(plain)["keys"]
        self._keys = {label: softkey.load(base64.b64decode(der)) for label, der in keys.items()}
        self._seen = mark

    def _store(self, keys: dict[str, softkey.PrivateKey]) -> None:
        _write(self._path, self._lock, keys, self._random)
        self._keys = keys
        self._seen = _mark(self._path)


def _cipher(lock: _Lock) -> ChaCha20Poly1305:
    return ChaCha20Poly1305(lock.key)


def _derive(passphrase: Secret, salt: bytes, cost: Cost) -> _Lock:
    key = hash_secret_raw(
        secret=passphrase.reveal(),
        salt=salt,
        time_cost=cost.passes,
        memory_cost=cost.memory,
        parallelism=cost.lanes,
        hash_len=32,
        type=Type.ID,
    )
    return _Lock(salt=salt, cost=cost, key=key)


def _canonical(header: dict[str, Any]) -> bytes:
    return json.dumps(header, sort_keys=True, separators=(",", ":")).encode()


def _mark(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise StoreDamaged(f"{path}: the key file is gone") from error
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: Path) -> tuple[dict[str, Any], bytes]:
    """Return header and ciphertext; raises `StoreDamaged` unless the file is whole and closed to others."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise StoreDamaged(f"{path}: the key file is open to other users; chmod 600 it")
    content = path.read_bytes()
    body, _, digest = content.rpartition(b"\n")
    if hashlib.sha256(body).hexdigest().encode() != digest:
        raise StoreDamaged(f"{path}: the key file is not whole; restore it from a backup")
    header, _, ciphertext = body.partition(b"\n")
    parsed: dict[str, Any] = json.loads(header)
    if parsed.get("format") != FORMAT:
        raise StoreDamaged(f"{path}: written in format {parsed.get('format')}, this version reads {FORMAT}")
    return parsed, base64.b64decode(ciphertext)


def _write(
    path: Path, lock: _Lock, keys: dict[str, softkey.PrivateKey], random: Callable[[int], bytes]
) -> None:
    nonce = random(_NONCE_SIZE)
    header = _canonical(lock.header(nonce))
    plain = json.dumps(
        {"keys": {label: base64.b64encode(_pkcs8(key)).decode() for label, key in keys.items()}}
    )
    body = header + b"\n" + base64.b64encode(_cipher(lock).encrypt(nonce, plain.encode(), header))
    _replace(path, body + b"\n" + hashlib.sha256(body).hexdigest().encode())


def _pkcs8(key: softkey.PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _replace(path: Path, content: bytes) -> None:
    """Put the content in the file's place so that after a power cut one of the two is there, whole."""
    fresh = path.with_name(f".{path.name}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextlib.contextmanager
def _exclusive(path: Path) -> Iterator[None]:
    """Hold the lock file for a read-change-write; other processes wait."""
    descriptor = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
