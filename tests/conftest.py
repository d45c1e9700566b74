"""What holds for all tests."""

import pytest

TRIES_MORE = 2


def pytest_collection_modifyitems(items):
    """Real peers on a shared machine of two cores may be slow: such a test is tried again before it counts.

    What fails three times in a row is no noise. Tests without real peers get one try.
    """
    for item in items:
        if item.get_closest_marker("functional"):
            item.add_marker(pytest.mark.flaky(reruns=TRIES_MORE))
