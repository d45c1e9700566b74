import pytest

from appliance.domain.document import DocumentError
from appliance.domain.role_document import parse_role
from appliance.policy.check import check_role
from appliance.policy.presets import PRESETS
from tests.support.roles import document


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_the_presets_pass(name):
    check_role(PRESETS[name])


@pytest.mark.parametrize(
    ("changes", "path", "expected"),
    [
        ({"allow": {"logins": ["Root"]}}, ("spec", "allow", "logins", 0), "login"),
        ({"allow": {"logins": ["a", "*"]}}, ("spec", "allow", "logins", 1), "login"),
        ({"allow": {"logins": ["{{user.name}}"]}}, ("spec", "allow", "logins", 0), "unknown name"),
        ({"deny": {"logins": ["^($"]}}, ("spec", "deny", "logins", 0), "regular expression"),
        (
            {"allow": {"node_labels": {"env": ["dev", "^[$"]}}},
            ("spec", "allow", "node_labels", "env", 1),
            "regular",
        ),
        (
            {"allow": {"node_labels_expression": "labels"}},
            ("spec", "allow", "node_labels_expression"),
            "labels",
        ),
        (
            {"allow": {"rules": [{"resources": ["usr"], "verbs": ["list"]}]}},
            ("spec", "allow", "rules", 0, "resources", 0),
            "did you mean user?",
        ),
        (
            {"deny": {"rules": [{"resources": ["user"], "verbs": ["remove"]}]}},
            ("spec", "deny", "rules", 0, "verbs", 0),
            "unknown",
        ),
        (
            {"allow": {"rules": [{"resources": ["user"], "verbs": ["list"], "where": "nope"}]}},
            ("spec", "allow", "rules", 0, "where"),
            "unknown name nope",
        ),
        (
            {"allow": {"request": {"thresholds": [{"filter": "contains(reviewer.roles)"}]}}},
            ("spec", "allow", "request", "thresholds", 0, "filter"),
            "arguments",
        ),
        (
            {"allow": {"review_requests": {"where": "1"}}},
            ("spec", "allow", "review_requests", "where"),
            "read",
        ),
        ({"allow": {"impersonate": {"where": '"x"'}}}, ("spec", "allow", "impersonate", "where"), "text"),
        (
            {"allow": {"request": {"search_as_roles": ["acc*"]}}},
            ("spec", "allow", "request", "search_as_roles", 0),
            "pattern",
        ),
        ({"direct_destinations": ["nohost"]}, ("spec", "options", "direct_destinations", 0), "host:port"),
        (
            {
                "allow": {
                    "join_sessions": [{"name": "x", "roles": ["*"], "kinds": ["ssh"], "modes": ["watcher"]}]
                }
            },
            ("spec", "allow", "join_sessions", 0, "modes", 0),
            "unknown",
        ),
    ],
)
def test_what_could_never_work_is_refused_with_its_path(changes, path, expected):
    with pytest.raises(DocumentError) as caught:
        check_role(parse_role(document("x", **changes)))
    assert caught.value.path == path
    assert expected in str(caught.value)
