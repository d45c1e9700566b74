from __future__ import annotations

import asyncio

import pytest

from appliance.recording.lane import Lanes
from tests.appliance.recording.studio import Studio


@pytest.fixture
def lanes():
    with Lanes(2) as lanes:
        yield lanes


@pytest.fixture
def studio(tmp_path, lanes):
    return Studio(tmp_path / "spool", lanes)


@pytest.fixture
def run():
    """Run a coroutine function to its end on a loop of its own."""
    return lambda scenario: asyncio.run(asyncio.wait_for(scenario(), 60))
