"""What can go wrong with a key, drawn as a tree.

```
HsmError
├── NoSuchKey       no key of that label in our name range
├── KeyExists       creating it would overwrite a key; nothing was changed
├── NotOurs         the label or the object lies outside of our name range
├── Unsupported     the token has no such algorithm, mechanism or ability
├── TokenGone       the token or its session is lost; try again once it is back
├── TokenFault      the token answered something that cannot be true
├── PinRefused      the PIN is wrong, or the last try is being kept for a person
├── PinLocked       the token accepts no PIN any more
├── StoreDamaged    the encrypted file is not what was written
└── Malformed       bytes or text that should be a key, certificate, signature or URI are not
```
Messages never carry a PIN, a private key or key material.
"""

# ruff: noqa: N818  # the names say what is the case; the suffix would only repeat the base class

from __future__ import annotations


class HsmError(Exception):
    """The root; `retryable` says whether the same call may work later without a person."""

    retryable = False


class NoSuchKey(HsmError):
    """There is no key of that label."""


class KeyExists(HsmError):
    """A key of that label is there already and stays as it is."""


class NotOurs(HsmError):
    """The name lies outside of the range that belongs to this cluster."""


class Unsupported(HsmError):
    """The token cannot do this."""


class TokenGone(HsmError):
    """The token is not reachable at the moment."""

    retryable = True


class TokenFault(HsmError):
    """The token gave an answer that is wrong; nothing of it was used."""


class PinRefused(HsmError):
    """The PIN was refused; `tries_left` is None where the token does not tell."""

    def __init__(self, message: str, *, tries_left: int | None = None) -> None:
        super().__init__(message)
        self.tries_left = tries_left


class PinLocked(HsmError):
    """The token is locked; only its own unblocking procedure helps."""


class StoreDamaged(HsmError):
    """The encrypted file was changed by something else, or cut short."""


class Malformed(HsmError):
    """Not a well-formed value of its kind."""
