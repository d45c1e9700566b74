"""What can go wrong with a virtual key.

```
VirtualKeyError
├── KeyFileError        the key file is missing, malformed, of another version, open to others
├── ProfileError        no profile of that name
├── FaultSyntaxError    a fault given as text can't be read
├── UnpluggedError      the key is gone: pulled out by its fault plan, or by hand
└── TransportError      the key can't be plugged there (no pcscd, no socket, peer speaks another protocol)
```

Refusals that a real key would send as a status (a wrong PIN, no touch) are no exceptions of this family: they
travel as `fido.status.Refusal` or `card.iso7816.StatusError` inside the cores and leave as bytes.
"""

from __future__ import annotations


class VirtualKeyError(Exception):
    """The base of the family."""


class KeyFileError(VirtualKeyError):
    """The key file can't be used."""


class ProfileError(VirtualKeyError):
    """There is no such model of key."""


class FaultSyntaxError(VirtualKeyError):
    """The text names no fault."""


class UnpluggedError(VirtualKeyError):
    """The key is not there any more."""


class TransportError(VirtualKeyError):
    """The key could not be plugged in, or the other side broke the protocol."""
