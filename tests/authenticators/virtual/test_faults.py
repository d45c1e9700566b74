import pytest

from authenticators.virtual.errors import FaultSyntaxError
from authenticators.virtual.faults import (
    CounterBack,
    FaultPlan,
    RefuseTouch,
    Scheduled,
    Slow,
    Unplug,
    parse_fault,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("refuse-touch", Scheduled(fault=RefuseTouch())),
        ("slow=0.5", Scheduled(fault=Slow(seconds=0.5))),
        ("unplug@3", Scheduled(fault=Unplug(), after=3)),
        ("counter-back=5@1x2", Scheduled(fault=CounterBack(by=5), after=1, times=2)),
    ],
)
def test_a_fault_is_read_from_text(text, expected):
    assert parse_fault(text) == expected


@pytest.mark.parametrize(
    "text", ["", "burn", "slow", "slow=x", "refuse-touch=3", "unplug@", "counter-back=1.5", "unplug@1x"]
)
def test_what_names_no_fault_is_refused(text):
    with pytest.raises(FaultSyntaxError):
        parse_fault(text)


def test_a_plan_strikes_from_its_operation_on_and_so_many_times():
    plan = FaultPlan((Scheduled(fault=Unplug(), after=1, times=2), Scheduled(fault=RefuseTouch(), after=2)))
    assert [plan.at(number) for number in range(4)] == [
        (),
        (Unplug(),),
        (Unplug(), RefuseTouch()),
        (RefuseTouch(),),
    ]
