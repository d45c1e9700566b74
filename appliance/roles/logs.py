"""The process's own log: plain lines for people; the audit log is another thing."""

from __future__ import annotations

import logging
import logging.handlers
import sys

from appliance.config.schema import Log, Severity

LEVELS = {
    Severity.DEBUG: logging.DEBUG,
    Severity.INFO: logging.INFO,
    Severity.WARN: logging.WARNING,
    Severity.ERROR: logging.ERROR,
}


class OneLine(logging.Formatter):
    """A record is one line, whatever peers put into it; a traceback follows indented."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the interface's name
        """Return the line with control characters escaped."""
        return super().formatMessage(record).encode("unicode_escape").decode("ascii")


def set_up(settings: Log, process: str) -> None:
    """Send this process's log where the configuration says."""
    handler: logging.Handler
    if settings.output == "syslog":
        handler = logging.handlers.SysLogHandler(address="/dev/log")
    else:
        handler = logging.StreamHandler(sys.stdout if settings.output == "stdout" else sys.stderr)
    handler.setFormatter(OneLine(f"%(asctime)s {process} %(levelname)s %(message)s"))
    logging.basicConfig(level=LEVELS[settings.severity], handlers=[handler], force=True)
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    logging.getLogger("httpx2").setLevel(logging.WARNING)
