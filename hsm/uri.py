"""PKCS#11 URIs (RFC 7512): which module, which token.

Only what identifies a module, a slot and a token is understood. An attribute that names an object is
refused, since keys are named by label range and not by configuration; so is `pin-value`, since a PIN
in a URI ends up in process lists and logs. `pin-source` may name a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from hsm.errors import Malformed

if TYPE_CHECKING:
    from collections.abc import Mapping

_PATH = frozenset({"token", "manufacturer", "serial", "model", "slot-id"})
_QUERY = frozenset({"module-path", "pin-source"})
_SAFE_IN_PATH = ":[]@!$'()*+,=&"
_SAFE_IN_QUERY = ":[]@!$'()*+,=/?|"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pkcs11Uri:
    """What a `pkcs11:` URI says; None where it says nothing."""

    token: str | None = None
    manufacturer: str | None = None
    serial: str | None = None
    model: str | None = None
    slot_id: int | None = None
    module_path: Path | None = None
    pin_source: Path | None = None

    def __str__(self) -> str:
        path = {
            "token": self.token,
            "manufacturer": self.manufacturer,
            "serial": self.serial,
            "model": self.model,
            "slot-id": self.slot_id,
        }
        query = {"module-path": self.module_path, "pin-source": self.pin_source}
        written = "pkcs11:" + ";".join(_write(path, _SAFE_IN_PATH))
        return written + ("?" if any(query.values()) else "") + "&".join(_write(query, _SAFE_IN_QUERY))


def _write(attributes: Mapping[str, object], safe: str) -> list[str]:
    return [
        f"{name}={quote(str(value), safe=safe)}" for name, value in attributes.items() if value is not None
    ]


def parse(uri: str) -> Pkcs11Uri:
    """Read a URI such as `pkcs11:token=ca;serial=1?module-path=/usr/lib/softhsm/libsofthsm2.so`."""
    if not uri.startswith("pkcs11:"):
        raise Malformed("a PKCS#11 URI begins with 'pkcs11:'")
    path_text, _, query_text = uri.removeprefix("pkcs11:").partition("?")
    path = _read(path_text, ";", _PATH)
    query = _read(query_text, "&", _QUERY)
    return Pkcs11Uri(
        token=path.get("token"),
        manufacturer=path.get("manufacturer"),
        serial=path.get("serial"),
        model=path.get("model"),
        slot_id=_slot(path["slot-id"]) if "slot-id" in path else None,
        module_path=_file("module-path", query["module-path"]) if "module-path" in query else None,
        pin_source=_file("pin-source", query["pin-source"]) if "pin-source" in query else None,
    )


def _read(text: str, separator: str, known: frozenset[str]) -> dict[str, str]:
    found = dict[str, str]()
    for item in filter(None, text.split(separator)):
        name, equals, value = item.partition("=")
        if not equals or name not in known:
            raise Malformed(f"attribute {name!r} has no place in the URI of a token")
        if name in found:
            raise Malformed(f"attribute {name!r} twice")
        found[name] = _decode(name, value)
    return found


def _decode(name: str, value: str) -> str:
    try:
        return unquote_to_bytes(value).decode()
    except UnicodeDecodeError as error:
        raise Malformed(f"attribute {name!r} is not UTF-8") from error


def _slot(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise Malformed("slot-id is a decimal number")
    return int(value)


def _file(name: str, value: str) -> Path:
    path = Path(value.removeprefix("file://").removeprefix("file:"))
    if not path.is_absolute():
        raise Malformed(f"{name} is an absolute path")
    return path
