"""The app id and its facets (FIDO AppID and Facets v1.2)."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from authenticators.errors import U2fError, U2fErrorCode

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MEDIA_TYPE: Final = "application/fido.trusted-apps+json"
"""The content type the facets are served with (§3.1.3, step 11)."""

_VERSION: Final = {"major": 1, "minor": 0}


def check_app_id(app_id: str) -> str:
    """Return the app id if it is an https URL without user, query or fragment; raises BAD_APP_ID."""
    url = _split(app_id)
    if url.scheme != "https" or not url.hostname or url.username or url.query or url.fragment:
        raise U2fError(U2fErrorCode.BAD_APP_ID)
    return app_id


def facet_of(origin: str) -> str:
    """Return the origin as a facet: scheme, host and port, lower case, without a default port or a path.

    Raises `U2fError` with BAD_FACET for anything but https.
    """
    url = _split(origin, U2fErrorCode.BAD_FACET)
    if url.scheme != "https" or not url.hostname or url.path not in {"", "/"} or url.query or url.fragment:
        raise U2fError(U2fErrorCode.BAD_FACET)
    try:
        port = "" if url.port in {None, 443} else f":{url.port}"
    except ValueError as error:
        raise U2fError(U2fErrorCode.BAD_FACET) from error
    return f"https://{url.hostname}{port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedFacets:
    """The origins that may use one app id. All share the app id's host or are below it."""

    app_id: str
    facets: tuple[str, ...]

    @classmethod
    def of(cls, app_id: str, origins: Iterable[str]) -> Self:
        """Return the facets of these origins; raises BAD_APP_ID or BAD_FACET.

        A browser ignores facets outside the app id's own domain (§3.1.2, step 15), so they are refused
        here, where somebody can mend the configuration.
        """
        host = _split(check_app_id(app_id)).hostname or ""
        facets = tuple(dict.fromkeys(facet_of(origin) for origin in origins))
        for facet in facets:
            name = urlsplit(facet).hostname or ""
            if name != host and not name.endswith("." + host):
                raise U2fError(U2fErrorCode.BAD_FACET, facet)
        return cls(app_id=app_id, facets=facets)

    def __contains__(self, origin: object) -> bool:
        return origin in self.facets

    def to_json(self) -> str:
        """Return the document served at the app id."""
        return json.dumps({"trustedFacets": [{"version": _VERSION, "ids": list(self.facets)}]})

    @classmethod
    def from_json(cls, app_id: str, document: str | bytes) -> Self:
        """Return the facets of version 1 in such a document; raises BAD_APP_ID or BAD_FACET."""
        try:
            lists = json.loads(document)["trustedFacets"]
            ids = [origin for each in lists if _is_version_1(each) for origin in each["ids"]]
            return cls.of(app_id, ids)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise U2fError(U2fErrorCode.BAD_FACET) from error


def _is_version_1(entry: Mapping[str, Any]) -> bool:
    return bool(entry["version"]["major"] == 1)


def _split(text: str, code: U2fErrorCode = U2fErrorCode.BAD_APP_ID) -> Any:
    try:
        return urlsplit(text)
    except ValueError as error:
        raise U2fError(code) from error
