"""The resource `user`: a local account as a document. What a person proves themselves by is never in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.domain import names
from appliance.domain.document import DocumentError, Reader
from appliance.domain.errors import Invalid
from appliance.domain.records import User
from appliance.domain.role_document import Document

KIND = "user"
VERSION = "v2"
NEVER = "0001-01-01T00:00:00Z"
"""How documents of this kind write that there is no such moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDocument:
    """What a document can say of an account."""

    name: str
    roles: tuple[str, ...]
    traits: dict[str, tuple[str, ...]]


def parse_user(document: Mapping[str, object]) -> UserDocument:
    """Return what the document says; raises `DocumentError` with the path of the mistake."""
    reader = Reader(document)
    if (kind := reader.required("kind")) != KIND:
        raise reader.error("kind", f"expected {KIND}, not {kind[:64]!r}")
    if (version := reader.text("version", VERSION)) != VERSION:
        raise reader.error("version", f"expected {VERSION}, not {version[:64]!r}")
    metadata, spec = reader.section("metadata"), reader.section("spec")
    reader.done()
    name = _name(metadata)
    roles, traits = spec.texts("roles"), dict(spec.patterns("traits"))
    _refuse_unenforced(spec)
    spec.done()
    if not roles:
        raise spec.missing("roles")
    return UserDocument(name=name, roles=roles, traits=_checked(traits, spec))


def _name(metadata: Reader) -> str:
    given = metadata.required("name")
    for name in ("revision", "description", "namespace", "expires"):
        metadata.text(name)
    metadata.section("labels")
    if metadata.text("expires") not in ("", NEVER):
        raise metadata.error("expires", "accounts do not end by themselves here: use a lock with an end")
    metadata.done()
    try:
        return names.user_name(given)
    except Invalid as error:
        raise metadata.error("name", str(error)) from error


def _checked(traits: dict[str, tuple[str, ...]], spec: Reader) -> dict[str, tuple[str, ...]]:
    for place, login in enumerate(traits.get("logins", ())):
        try:
            names.login(login)
        except Invalid as error:
            raise DocumentError((*spec.path, "traits", "logins", place), str(error)) from error
    return traits


def _refuse_unenforced(spec: Reader) -> None:
    spec.section("created_by")  # said by the cluster, not by the document
    status = spec.section("status")
    if status.flag("is_locked"):
        raise status.error("is_locked", "make a lock for this: kind lock, spec.target.user")
    if spec.text("expires") not in ("", NEVER):
        raise spec.error("expires", "accounts do not end by themselves here: use a lock with an end")


def user_to_document(user: User) -> Document:
    """Return the account's document; `parse_user` reads it back."""
    return {
        "kind": KIND,
        "version": VERSION,
        "metadata": {"name": user.name},
        "spec": {
            "roles": list(user.roles),
            "traits": {name: list(values) for name, values in sorted(user.traits.items())},
            "created_by": {
                "time": user.created_at.isoformat().replace("+00:00", "Z"),
                "user": {"name": user.created_by},
            },
        },
    }
