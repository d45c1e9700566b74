"""The phases as a table."""

from datetime import UTC, datetime, timedelta

import pytest

from appliance.certificates import rotation
from appliance.domain.errors import Invalid
from appliance.domain.records import Authority, AuthorityKey, AuthorityKind, RotationPhase

NOW = datetime(2026, 3, 1, tzinfo=UTC)
Phase = RotationPhase


def key(generation):
    return AuthorityKey(
        generation=generation, public_key=bytes([generation]), certificate=b"", created_at=NOW
    )


def authority(phase=Phase.STANDBY, signing=1, trusted=(1,)):
    return Authority(
        kind=AuthorityKind.USER, signing=key(signing), trusted=tuple(map(key, trusted)), phase=phase
    )


def walk(*phases):
    """Begin a rotation and go through phases; returns (signing, trusted) after each."""
    one = rotation.begun(authority(), key(2))
    seen = [(one.signing.generation, {each.generation for each in one.trusted})]
    for phase in phases:
        rotation.check(one, phase)
        one = rotation.moved(one, phase)
        seen.append((one.signing.generation, {each.generation for each in one.trusted}))
    return seen


def test_the_new_key_is_trusted_before_it_signs_and_the_old_one_until_the_end():
    assert walk(Phase.UPDATE_CLIENTS, Phase.UPDATE_SERVERS, Phase.STANDBY) == [
        (1, {1, 2}),
        (2, {1, 2}),
        (2, {1, 2}),
        (2, {2}),
    ]


@pytest.mark.parametrize("last", [(), (Phase.UPDATE_CLIENTS,), (Phase.UPDATE_CLIENTS, Phase.UPDATE_SERVERS)])
def test_a_roll_back_from_each_phase_ends_where_it_began(last):
    assert walk(*last, Phase.ROLLBACK, Phase.STANDBY)[-2:] == [(1, {1, 2}), (1, {1})]


@pytest.mark.parametrize("phase", list(Phase))
@pytest.mark.parametrize("wanted", list(Phase))
def test_only_the_followers_of_a_phase_are_taken(phase, wanted):
    if wanted in rotation.FOLLOWERS[phase]:
        rotation.check(authority(phase), wanted)
    else:
        with pytest.raises(Invalid, match=f"is in {phase}: expected"):
            rotation.check(authority(phase), wanted)


@pytest.mark.parametrize("grace", [timedelta(seconds=59), timedelta(days=30, seconds=1)])
def test_a_grace_outside_of_its_range_is_refused(grace):
    with pytest.raises(Invalid, match="1 minute to 30 days"):
        rotation.on_timer(authority(), grace, NOW)


def test_a_rotation_led_by_hand_is_never_due():
    assert rotation.due(authority(Phase.INIT, 1, (1, 2)), NOW + timedelta(days=900)) is None
