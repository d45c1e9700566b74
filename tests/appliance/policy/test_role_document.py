import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain.document import DocumentError, duration_text, parse_duration
from appliance.domain.role import ANY_LABELS, SessionMfa
from appliance.domain.role_document import parse_role
from appliance.domain.role_writing import role_to_document
from appliance.policy.presets import PRESET_DOCUMENTS
from tests.support.roles import document, role


def error_of(**changes):
    with pytest.raises(DocumentError) as caught:
        parse_role(document("x") | changes)
    return caught.value


def spec_error(**spec):
    return error_of(spec=spec)


FULL = {
    "kind": "role",
    "version": "v7",
    "metadata": {
        "name": "full",
        "description": "everything at once",
        "labels": {"team": "core"},
        "expires": "2030-01-31T12:00:00Z",
        "revision": "abc-1",
    },
    "spec": {
        "options": {
            "max_session_ttl": "8h30m",
            "forward_agent": True,
            "port_forwarding": True,
            "direct_destinations": ["db.internal:5432", "10.0.0.0/8:22"],
            "permit_x11_forwarding": False,
            "ssh_file_copy": False,
            "client_idle_timeout": "15m",
            "disconnect_expired_cert": True,
            "max_sessions": 10,
            "max_connections": 2,
            "require_session_mfa": "hardware_key_touch",
            "mfa_verification_interval": "1h",
            "mfa_grace": {"duration": "5m", "scope": "labels"},
            "record_session": {"default": "best_effort", "ssh": "strict"},
            "lock": "strict",
            "request_access": "reason",
            "request_prompt": "ticket number, please",
            "pin_source_ip": True,
            "require_host_bound": True,
            "approval": "signed",
        },
        "allow": {
            "logins": ["{{internal.logins}}", "root"],
            "node_labels": {"env": ["dev", "stag*"], "os": ["^deb.*$"]},
            "node_labels_expression": 'labels["env"] == "dev"',
            "db_labels": {"*": ["*"]},
            "db_users": ["reader"],
            "rules": [{"resources": ["session"], "verbs": ["list", "read"], "where": "true"}],
            "impersonate": {"users": ["bot"], "roles": ["ci"], "where": ""},
            "request": {
                "roles": ["elevated"],
                "search_as_roles": ["access"],
                "claims_to_roles": [{"claim": "group", "value": "admins", "roles": ["editor"]}],
                "thresholds": [{"name": "two", "approve": 2, "deny": 1, "filter": "true"}],
                "suggested_reviewers": ["ivan"],
                "annotations": {"service": ["pager"]},
                "max_duration": "96h",
                "reason": {"mode": "required"},
            },
            "review_requests": {"roles": ["elevated"], "where": "true", "preview_as_roles": ["access"]},
            "require_session_join": [
                {"name": "watch", "filter": "true", "kinds": ["ssh"], "modes": ["moderator"], "count": 2}
            ],
            "join_sessions": [{"name": "any", "roles": ["dev"], "kinds": ["ssh"], "modes": ["observer"]}],
        },
        "deny": {"logins": ["root"], "node_labels": {"env": ["prod"]}},
    },
}


def test_a_role_with_every_field_is_written_back_as_it_was_read():
    full = parse_role(FULL)
    assert parse_role(role_to_document(full)) == full
    assert full.expires == datetime(2030, 1, 31, 12, tzinfo=UTC)
    assert full.options.require_session_mfa is SessionMfa.HARDWARE_KEY_TOUCH
    assert full.allow.require_session_join[0].count == 2
    json.dumps(role_to_document(full))


@pytest.mark.parametrize("version", ["v3", "v4", "v5", "v6", "v7"])
def test_every_preset_survives_being_written_in_every_version(version):
    for preset in PRESET_DOCUMENTS.values():
        once = parse_role(dict(preset) | {"version": version})
        assert parse_role(role_to_document(once)) == once


def test_v3_matches_every_node_where_no_labels_are_named_and_later_versions_none():
    assert role("old", version="v3").allow.node_labels == ANY_LABELS
    assert role("old", version="v3", allow={"node_labels": {}}).allow.node_labels == ()
    assert role("old", version="v3").deny.node_labels == ()
    for version in ("v4", "v5", "v6", "v7"):
        assert role("new", version=version).allow.node_labels == ()


def test_an_unknown_field_is_refused_with_its_path_and_the_nearest_known_name():
    error = spec_error(options={"max_sesion_ttl": "8h"})
    assert error.path == ("spec", "options", "max_sesion_ttl")
    assert "did you mean max_session_ttl?" in str(error)


def test_a_misspelt_required_field_is_named_rather_than_the_missing_one():
    error = spec_error(allow={"rules": [{"resorces": ["user"], "verbs": ["list"]}]})
    assert error.path == ("spec", "allow", "rules", 0, "resorces")
    assert "did you mean resources?" in error.problem


@pytest.mark.parametrize(
    ("spec", "path", "expected"),
    [
        ({"options": {"forward_agent": "maybe"}}, "spec.options.forward_agent", "true or false"),
        ({"options": {"max_session_ttl": "soon"}}, "spec.options.max_session_ttl", "such as"),
        ({"options": {"request_prompt": "x" * 4097}}, "spec.options.request_prompt", "longer"),
        ({"allow": {"logins": ["x" * 4097]}}, "spec.allow.logins[0]", "longer"),
        ({"allow": {"logins": ["x"] * 4097}}, "spec.allow.logins", "more than 4096"),
        ({"allow": {"request": {"thresholds": [{}] * 4097}}}, "spec.allow.request.thresholds", "more than"),
        ({"options": {"max_sessions": True}}, "spec.options.max_sessions", "whole number"),
        ({"options": {"max_sessions": 0}}, "spec.options.max_sessions", "from 1"),
        ({"options": {"max_session_ttl": "0s"}}, "spec.options.max_session_ttl", "from 1m"),
        ({"options": {"max_session_ttl": "31h"}}, "spec.options.max_session_ttl", "to 30h"),
        ({"options": {"max_session_ttl": None}}, "spec.options.max_session_ttl", "duration"),
        ({"options": {"max_session_ttl": 3600}}, "spec.options.max_session_ttl", "duration"),
        ({"options": {"client_idle_timeout": "0s"}}, "spec.options.client_idle_timeout", "from 1s"),
        ({"options": {"mfa_grace": {"duration": "6m"}}}, "spec.options.mfa_grace.duration", "to 5m"),
        ({"options": {"mfa_grace": {}}}, "spec.options.mfa_grace.duration", "required"),
        ({"options": {"require_session_mfa": "soon"}}, "spec.options.require_session_mfa", "hardware_key"),
        ({"options": {"lock": "hard"}}, "spec.options.lock", "strict"),
        ({"options": {"device_trust_mode": "required"}}, "spec.options.device_trust_mode", "not enforced"),
        ({"options": {"enhanced_recording": ["disk"]}}, "spec.options.enhanced_recording", "not enforced"),
        ({"allow": {"logins": [1]}}, "spec.allow.logins[0]", "text"),
        ({"allow": {"node_labels": ["dev"]}}, "spec.allow.node_labels", "mapping"),
        ({"allow": {"node_labels": {"env": []}}}, "spec.allow.node_labels.env", "at least one"),
        ({"allow": {"node_labels": {"*": "dev"}}}, "spec.allow.node_labels.*", "'*'"),
        ({"allow": {"rules": {"resources": []}}}, "spec.allow.rules", "list"),
        ({"allow": {"request": {"max_duration": "15d"}}}, "spec.allow.request.max_duration", "to 336h"),
        (
            {"deny": {"request": {"thresholds": [{"approve": 2}]}}},
            "spec.deny.request.thresholds",
            "allow only",
        ),
        ({"allwo": {}}, "spec.allwo", "did you mean allow?"),
    ],
)
def test_a_mistake_names_its_path_and_what_was_expected(spec, path, expected):
    text = str(spec_error(**spec))
    assert text.startswith(f"{path}: ")
    assert expected in text


def test_kind_version_and_name_are_required():
    assert error_of(kind="user").path == ("kind",)
    assert error_of(version="v99").path == ("version",)
    assert error_of(version="").path == ("version",)
    assert error_of(metadata={"name": "x", "labels": {1: "y"}}).path == ("metadata", "labels", "1")
    assert error_of(metadata={}).path == ("metadata", "name")
    assert error_of(metadata={"name": "a b"}).path == ("metadata", "name")


@pytest.mark.parametrize("end", [None, "0001-01-01T00:00:00Z", "2026-01-01T00:00:00", 0, "never"])
def test_an_end_that_is_null_zero_or_without_a_zone_is_an_error_and_not_for_ever(end):
    assert error_of(metadata={"name": "x", "expires": end}).path == ("metadata", "expires")


def test_yaml_truths_of_older_documents_are_read():
    parsed = role("x", disconnect_expired_cert="no", forward_agent="yes", require_session_mfa="on")
    assert parsed.options.disconnect_expired_cert is False
    assert parsed.options.forward_agent is True
    assert parsed.options.require_session_mfa is SessionMfa.CHECK


@given(st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=300)))
def test_durations_survive_being_written(duration):
    whole = timedelta(milliseconds=duration // timedelta(milliseconds=1))
    assert parse_duration(duration_text(whole)) == whole


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
FIELDS = ["options", "allow", "deny", "logins", "node_labels", "rules", "request", "max_sessions", "lock"]


@settings(max_examples=150)
@given(st.dictionaries(st.sampled_from(FIELDS), values | st.dictionaries(st.sampled_from(FIELDS), values)))
def test_whatever_is_in_a_document_it_is_read_or_refused_with_a_path(spec):
    try:
        parsed = parse_role(document("x") | {"spec": spec})
    except DocumentError as error:
        refused_at = error.path
    else:
        refused_at = ("spec",)
        assert parse_role(role_to_document(parsed)) == parsed
    assert refused_at[0] == "spec"
