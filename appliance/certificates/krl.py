"""Key revocation lists (OpenSSH PROTOCOL.krl): written here, judged by `ssh-keygen -Q` in the tests.

One list names, for each SSH authority, the serials that are revoked; consecutive ones become ranges. OpenSSH
reads
it through `RevokedKeys`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from hsm.encoding.wire import string, uint32, uint64

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

MAGIC = 0x5353484B524C0A00
FORMAT_VERSION = 1
SECTION_CERTIFICATES = b"\x01"
SERIAL_LIST = b"\x20"
SERIAL_RANGE = b"\x21"


def write(revoked: Mapping[bytes, Iterable[int]], *, version: int, generated: int, comment: str) -> bytes:
    """Return a KRL. `revoked` maps an authority's public key (SSH wire form) to serials (64 bits).

    `version` must grow with each list; `generated` is in seconds since 1970. The list is not signed itself:
    it
    travels over TLS, as OpenSSH recommends against its own signatures.
    """
    head = uint64(MAGIC) + uint32(FORMAT_VERSION) + uint64(version) + uint64(generated) + uint64(0)
    sections = [
        SECTION_CERTIFICATES + string(_certificates(authority, sorted(set(serials))))
        for authority, serials in revoked.items()
    ]
    return head + string(b"") + string(comment.encode()) + b"".join(sections)


def _certificates(authority: bytes, serials: list[int]) -> bytes:
    singles, ranges = list[int](), list[tuple[int, int]]()
    for first, last in _runs(serials) if serials else ():
        if first == last:
            singles.append(first)
        else:
            ranges.append((first, last))
    body = string(authority) + string(b"")
    if singles:
        body += SERIAL_LIST + string(b"".join(map(uint64, singles)))
    for first, last in ranges:
        body += SERIAL_RANGE + string(uint64(first) + uint64(last))
    return body


def _runs(serials: list[int]) -> Iterator[tuple[int, int]]:
    first = serials[0]
    for one, following in pairwise(serials):
        if following != one + 1:
            yield first, one
            first = following
    yield first, serials[-1]
