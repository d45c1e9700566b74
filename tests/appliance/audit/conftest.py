import pytest

from appliance.audit.log import AuditLog
from tests.support.hand_clock import HandClock


@pytest.fixture
def clock():
    return HandClock()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "log"


@pytest.fixture
def opened(folder, clock):
    """Return a function that opens the log; whatever it opened is closed at the end."""
    logs = []

    def open_log(**options):
        logs.append(AuditLog.open(folder, clock=clock, **options))
        return logs[-1]

    yield open_log
    for log in logs:
        log.close()
