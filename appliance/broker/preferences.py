"""The cluster's settings on proving oneself: what the store has goes before the configuration file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from appliance.broker.state import State
from appliance.domain import codec
from appliance.domain.auth_preference import NAME, AuthPreference, parse_preference
from appliance.domain.errors import Unavailable
from appliance.policy.outcome import ClusterPolicy
from appliance.store.repository import Repository

if TYPE_CHECKING:
    from appliance.store.repository import Stored

PREFIX = "cluster_auth_preference"


@dataclass(frozen=True, slots=True, kw_only=True)
class PreferenceDocument:
    """The settings as they were written."""

    name: str
    document: str
    """JSON text of the document."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preferences:
    """Answers from the store at each call; `file` are the settings of the configuration file."""

    state: State
    file: AuthPreference
    longest: timedelta
    """The longest life of anything a person is given."""

    @property
    def kept(self) -> Repository[PreferenceDocument]:
        """Where the one document lies."""
        return Repository(
            self.state.backend, prefix=PREFIX, kind=PreferenceDocument, name=lambda one: one.name
        )

    def stored(self) -> Stored[PreferenceDocument] | None:
        """Return the document of the store, or None while the file's settings hold."""
        return self.kept.find(NAME)

    def current(self) -> AuthPreference:
        """Return what holds now."""
        found = self.stored()
        return self.file if found is None else self.parsed(found.value)

    def parsed(self, stored: PreferenceDocument) -> AuthPreference:
        """Return a stored document's settings; raises `Unavailable` for one that can't be read."""
        document = codec.parse_json(stored.document)
        if not isinstance(document, dict):
            raise Unavailable("the stored cluster_auth_preference can't be read")
        return parse_preference(document, self.file)

    def policy(self) -> ClusterPolicy:
        """Return what the settings add to every role."""
        now = self.current()
        return ClusterPolicy(
            session_mfa=now.session_mfa,
            session_ttl=self.longest,
            disconnect_expired_cert=now.disconnect_expired_cert,
            locking=now.locking,
        )
