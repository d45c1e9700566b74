"""The roles a new cluster begins with, as the documents an administrator would write.

editor      the administrator: every resource of the cluster, no session by itself
access      sessions on every node, under the logins of the person's traits
auditor     reads events, sessions and recordings
requester   may ask for `access`
reviewer    decides on such requests
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.role_document import Document, parse_role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.domain.role import Role

READ = ["list", "read"]
WRITE = ["list", "read", "create", "update", "delete"]
_OWN_SESSION = "contains(session.participants, user.metadata.name)"
_ADMINISTERED = [
    "user",
    "role",
    "token",
    "bot",
    "lock",
    "node",
    "connection_grace",
    "oidc",
    "saml",
    "github",
    "ldap",
    "auth_connector",
    "trusted_cluster",
    "access_request",
    "access_plugin_data",
    "cluster_auth_preference",
    "cluster_networking_config",
    "session_recording_config",
    "backup",
    "certificate",
    "instance",
]

KNOWN_RESOURCES = (
    *_ADMINISTERED,
    "cert_authority",
    "event",
    "session",
    "session_tracker",
    "ssh_session",
    "recording",
    "access_list",
    "access_monitoring_rule",
    "app",
    "app_server",
    "db",
    "db_server",
    "kube_cluster",
    "kube_server",
    "windows_desktop",
    "device",
    "mfa_device",
    "network_restrictions",
    "plugin",
    "*",
)
"""What rules may name; other names would be rules without effect, so they are mistakes."""
KNOWN_VERBS = ("list", "create", "read", "readnosecrets", "update", "delete", "rotate", "use", "*")


def _document(
    name: str, description: str, allow: Mapping[str, object], options: Mapping[str, object] | None = None
) -> Document:
    return {
        "kind": "role",
        "version": "v7",
        "metadata": {"name": name, "description": description},
        "spec": {"options": dict(options or {}), "allow": dict(allow)},
    }


PRESET_DOCUMENTS: Mapping[str, Document] = {
    "editor": _document(
        "editor",
        "Administer the cluster: people, roles, connectors, tokens, configuration",
        {
            "rules": [
                {"resources": _ADMINISTERED, "verbs": WRITE},
                {"resources": ["cert_authority"], "verbs": [*WRITE, "rotate"]},
                {"resources": ["event", "session"], "verbs": READ},
            ],
            # The other administrators agree to actions under dual control (X7); never to one's own.
            "review_requests": {"roles": ["action:*"]},
        },
        {"max_session_ttl": "12h"},
    ),
    "access": _document(
        "access",
        "Open sessions on every node, under one's own logins",
        {
            "logins": ["{{internal.logins}}"],
            "node_labels": {"*": "*"},
            "app_labels": {"*": "*"},
            "db_labels": {"*": "*"},
            "db_users": ["{{internal.db_users}}"],
            "kubernetes_labels": {"*": "*"},
            "kubernetes_users": ["{{internal.kubernetes_users}}"],
            "rules": [{"resources": ["event", "session"], "verbs": READ, "where": _OWN_SESSION}],
        },
    ),
    "auditor": _document(
        "auditor",
        "Read the audit log and the recordings",
        {
            "rules": [
                {"resources": ["event", "session"], "verbs": READ},
                {"resources": ["certificate", "lock", "node", "session_tracker"], "verbs": READ},
            ],
        },
    ),
    "requester": _document(
        "requester",
        "Ask for the role access",
        {"request": {"roles": ["access"], "thresholds": [{"approve": 1, "deny": 1}]}},
    ),
    "reviewer": _document(
        "reviewer", "Decide on requests for the role access", {"review_requests": {"roles": ["access"]}}
    ),
}


PRESETS: Mapping[str, Role] = {name: parse_role(document) for name, document in PRESET_DOCUMENTS.items()}
"""The preset roles by name, parsed as any other role would be."""
