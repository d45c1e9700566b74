from datetime import timedelta

import pytest

from appliance.domain.role import GraceScope, LockingMode, RecordingMode, SessionMfa
from appliance.policy.options import merge_options
from appliance.policy.outcome import ClusterPolicy
from tests.support.roles import HOUR, role

MINUTE = timedelta(minutes=1)


def merged(*options, elsewhere=(), cluster=None):
    """Merge roles that match the target with roles of the person that don't."""
    here = [role(f"here-{place}", **one) for place, one in enumerate(options)]
    there = [role(f"there-{place}", **one) for place, one in enumerate(elsewhere)]
    return merge_options([*here, *there], here, cluster or ClusterPolicy())


def test_what_no_role_speaks_about_has_the_narrowest_value():
    plain = merged({})
    assert plain.max_session_ttl == 12 * HOUR
    assert not plain.forward_agent
    assert not plain.port_forwarding
    assert not plain.permit_x11_forwarding
    assert plain.direct_destinations == ()
    assert plain.ssh_file_copy
    assert plain.mfa is SessionMfa.OFF
    assert plain.mfa_grace is None
    assert plain.recording is RecordingMode.STRICT


@pytest.mark.parametrize(
    ("name", "one", "two", "result"),
    [
        ("max_session_ttl", "8h", "2h", 2 * HOUR),
        ("client_idle_timeout", "15m", "10m", 10 * MINUTE),
        ("mfa_verification_interval", "1h", "2h", HOUR),
        ("max_sessions", 10, 3, 3),
        ("max_connections", 4, 2, 2),
        ("forward_agent", True, False, True),
        ("port_forwarding", False, True, True),
        ("permit_x11_forwarding", True, False, True),
        ("disconnect_expired_cert", True, False, True),
        ("pin_source_ip", False, True, True),
        ("require_host_bound", True, False, True),
        ("ssh_file_copy", True, False, False),
    ],
)
def test_two_roles_merge_the_same_in_both_orders(name, one, two, result):
    assert getattr(merged({name: one}, {name: two}), name) == result
    assert getattr(merged({name: two}, {name: one}), name) == result


@pytest.mark.parametrize("name", ["forward_agent", "port_forwarding", "permit_x11_forwarding"])
def test_a_permission_of_a_role_for_other_targets_does_not_reach_this_one(name):
    assert not getattr(merged({}, elsewhere=[{name: True}]), name)


def test_a_limit_of_a_role_for_other_targets_does():
    strict = {"max_session_ttl": "1h", "ssh_file_copy": False, "pin_source_ip": True, "lock": "strict"}
    options = merged({"max_session_ttl": "8h"}, elsewhere=[strict | {"record_session": {"ssh": "strict"}}])
    assert options.max_session_ttl == HOUR
    assert not options.ssh_file_copy
    assert options.pin_source_ip
    assert options.locking is LockingMode.STRICT


def test_the_check_is_asked_for_by_roles_that_match_and_by_the_cluster():
    assert not merged({}, elsewhere=[{"require_session_mfa": True}]).mfa
    assert merged({"require_session_mfa": True}, {"require_session_mfa": False}).mfa is SessionMfa.CHECK
    cluster = ClusterPolicy(session_mfa=SessionMfa.HARDWARE_KEY)
    assert merged({"require_session_mfa": True}, cluster=cluster).mfa is SessionMfa.HARDWARE_KEY


@pytest.mark.parametrize(
    ("here", "elsewhere", "mode"),
    [
        ([{"record_session": {"default": "best_effort"}}], [], RecordingMode.BEST_EFFORT),
        ([{"record_session": {"default": "best_effort", "ssh": "strict"}}], [], RecordingMode.STRICT),
        ([{"record_session": {"default": "strict", "ssh": "best_effort"}}], [], RecordingMode.BEST_EFFORT),
        ([{}], [{"record_session": {"ssh": "best_effort"}}], RecordingMode.STRICT),
        (
            [{"record_session": {"ssh": "best_effort"}}],
            [{"record_session": {"ssh": "strict"}}],
            RecordingMode.STRICT,
        ),
    ],
)
def test_strict_recording_wins_and_best_effort_needs_a_role_that_matches(here, elsewhere, mode):
    assert merged(*here, elsewhere=elsewhere).recording is mode


def test_destinations_come_only_from_matching_roles_that_allow_forwards():
    options = merged(
        {"port_forwarding": True, "direct_destinations": ["a:1", "b:2"]},
        {"port_forwarding": True, "direct_destinations": ["b:2"]},
        {"direct_destinations": ["c:3"]},
        elsewhere=[{"port_forwarding": True, "direct_destinations": ["d:4"]}],
    )
    assert options.direct_destinations == ("a:1", "b:2")


def test_a_grace_needs_every_role_that_asks_and_is_the_shortest_and_narrowest():
    five = {"require_session_mfa": True, "mfa_grace": {"duration": "5m", "scope": "labels"}}
    two = {"require_session_mfa": True, "mfa_grace": {"duration": "2m"}}
    assert merged(five).mfa_grace.scope is GraceScope.LABELS
    both = merged(five, two).mfa_grace
    assert (both.duration, both.scope) == (2 * MINUTE, GraceScope.TARGET)
    assert merged(five, {"require_session_mfa": True}).mfa_grace is None
    assert merged(five, {}).mfa_grace is not None


def test_the_clusters_own_limits_count_too():
    cluster = ClusterPolicy(client_idle_timeout=5 * MINUTE, disconnect_expired_cert=True, session_ttl=HOUR)
    options = merged({"client_idle_timeout": "15m"}, cluster=cluster)
    assert options.client_idle_timeout == 5 * MINUTE
    assert options.disconnect_expired_cert
    assert options.max_session_ttl == HOUR


def test_moderators_of_each_role_must_be_present():
    watch = {"name": "watch", "filter": "true", "modes": ["moderator"]}
    one = role("one", allow={"require_session_join": [watch | {"kinds": ["ssh"]}]})
    two = role("two", allow={"require_session_join": [watch | {"kinds": ["db"]}]})
    sets = merge_options([one, two], [one], ClusterPolicy()).require_session_join
    assert [[required.name for required in alternatives] for alternatives in sets] == [["watch"]]
