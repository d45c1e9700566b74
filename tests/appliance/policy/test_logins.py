from dataclasses import replace

from appliance.domain.role import RequestAccess
from appliance.policy.logins import login_options
from appliance.policy.outcome import ClusterPolicy
from tests.support.roles import HOUR, NOW, role


def options(*roles):
    return login_options(roles, NOW, ClusterPolicy())


def test_a_login_lives_as_long_as_the_shortest_role_and_the_cluster_says_when_none_does():
    assert options().longest_life == 12 * HOUR
    assert options(role("a", max_session_ttl="8h"), role("b", max_session_ttl="20h")).longest_life == 8 * HOUR


def test_a_login_does_not_outlive_a_role_that_ends():
    assert options(replace(role("a"), expires=NOW + HOUR)).longest_life == HOUR
    assert options(replace(role("a", max_session_ttl="1h"), expires=NOW)).longest_life == 12 * HOUR


def test_the_strictest_word_on_requests_counts_and_prompts_are_all_shown():
    always, reason = (
        role("a", request_access="always"),
        role("b", request_access="reason", request_prompt="Why?"),
    )
    assert options().request_access is RequestAccess.OPTIONAL
    assert options(role("o", request_access="optional")).request_access is RequestAccess.OPTIONAL
    assert options(always, role("x")).request_access is RequestAccess.ALWAYS
    both = options(reason, always, role("c", request_prompt="Ticket?"))
    assert both.request_access is RequestAccess.REASON
    assert both.request_prompt.split("\n") == ["Why?", "Ticket?"]


def test_pinning_and_connection_limits_come_from_any_role():
    both = options(role("a", pin_source_ip=True), role("b", max_connections=2, disconnect_expired_cert=True))
    assert both.pin_source_ip
    assert both.disconnect_expired_cert
    assert both.max_connections == 2
