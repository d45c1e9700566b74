"""Verification by the system's libcrypto, without the interpreter lock.

`cryptography` holds that lock for a whole verification (0.07 to 0.11 ms), so that a token that could sign
meanwhile stands still. The libcrypto that Python's own `hashlib` and `ssl` use is called here by
`ctypes`, which lets go of it. Any return value but 1 is a no (EVP_DigestVerify(3)).

Where the library is not there, `verifier` gives a check by `cryptography`: the same answer, in line.
"""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_void_p
from functools import partial
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hsm.algorithm import Algorithm
from hsm.encoding import public_key
from hsm.encoding.signature import Signature, verify_with

LIBRARY = "libcrypto.so.3"
_HASHES = {
    Algorithm.ED25519: None,
    Algorithm.P256: "EVP_sha256",
    Algorithm.P384: "EVP_sha384",
    Algorithm.RSA3072: "EVP_sha512",
    Algorithm.RSA4096: "EVP_sha512",
}
Verifier = Callable[[bytes, Signature], bool]
"""Whether a signature was made over a message by one certain key; threads may share it."""


def verifier(key: public_key.SigningPublicKey, library: str = LIBRARY) -> Verifier:
    """Return the check for a key, by libcrypto where it is there."""
    try:
        return _NativeKey(key, _Library(library)).verify
    except OSError:  # no such library on this system
        return partial(verify_with, key)


class _Library:
    """The functions that are used. Short ones keep the interpreter lock: letting go would cost more."""

    def __init__(self, name: str) -> None:
        short, long = ctypes.PyDLL(name), ctypes.CDLL(name)
        self._short = short
        self.read_key = _declare(short, "d2i_PUBKEY", c_void_p, c_void_p, POINTER(c_char_p), c_long)
        self.free_key = _declare(short, "EVP_PKEY_free", None, c_void_p)
        self.make = _declare(short, "EVP_MD_CTX_new", c_void_p)
        self.free = _declare(short, "EVP_MD_CTX_free", None, c_void_p)
        self.begin = _declare(short, "EVP_DigestVerifyInit", c_int, *[c_void_p] * 5)
        self.verify = _declare(
            long, "EVP_DigestVerify", c_int, c_void_p, c_char_p, c_size_t, c_char_p, c_size_t
        )
        self.clear_errors = _declare(short, "ERR_clear_error", None)

    def hash(self, name: str) -> Any:
        return _declare(self._short, name, c_void_p)()


def _declare(library: ctypes.CDLL, name: str, result: Any, *arguments: Any) -> Any:
    function = library[name]
    function.restype, function.argtypes = result, arguments
    return function


class _NativeKey:
    """One public key as libcrypto has it; it is read only, so that threads may share it."""

    def __init__(self, key: public_key.SigningPublicKey, library: _Library) -> None:
        der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self._algorithm = public_key.algorithm_of_key(key)
        name = _HASHES[self._algorithm]
        self._library = library
        self._hash = library.hash(name) if name else None
        self._key = library.read_key(None, byref(c_char_p(der)), len(der))
        if not self._key:
            raise MemoryError("libcrypto could not read a key that cryptography wrote")
        weakref.finalize(self, library.free_key, self._key).atexit = False

    def verify(self, message: bytes, signature: Signature) -> bool:
        if signature.algorithm is not self._algorithm:
            return False
        library, wire = self._library, signature.der
        context = library.make()
        try:
            ready = library.begin(context, None, self._hash, None, self._key) == 1
            fine = ready and library.verify(context, wire, len(wire), message, len(message)) == 1
        finally:
            library.free(context)
        if not fine:
            library.clear_errors()  # what is left in the thread's list would be told to `ssl` later
        return bool(fine)
