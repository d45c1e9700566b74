"""The pulse: what runs is told to auth every few seconds, and what must end is ended.

The same turn ends sessions that were idle too long, or whose person's certificate is over. Where auth
does not answer for long, nobody could end anything any more, so strict sessions end by themselves.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from appliance.domain.errors import SallyportError

if TYPE_CHECKING:
    from appliance.proxy.direct import DirectStream
    from appliance.proxy.edge import Edge
    from appliance.proxy.session import Session

log = logging.getLogger(__name__)
SILENT = "the bastion has lost its connection to the authority"


class Pulse:
    """One a worker; `run` goes on until cancelled."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge
        self._heard = asyncio.get_running_loop().time()

    async def run(self) -> None:
        """Beat."""
        while True:
            await self._beat()
            self._end_overdue()
            await asyncio.sleep(self._edge.limits.pulse)

    async def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        running: dict[str, Session | DirectStream] = {one.id: one for one in self._edge.sessions}
        running.update({one.id: one for one in self._edge.streams})
        try:
            ends = await self._edge.authority.pulse(tuple(sorted(running)))
        except SallyportError as error:
            log.warning("the pulse is not answered: %s", error)
            if loop.time() - self._heard > self._edge.limits.pulse_patience:
                self._end_strict()
            return
        self._heard = loop.time()
        for name, reason in ends.items():
            log.info("session %s is ended: %s", name, reason)
            if name in running:
                running[name].end(reason)

    def _end_strict(self) -> None:
        for session in self._edge.sessions:
            if session.strict:
                session.end(SILENT)

    def _end_overdue(self) -> None:
        now = asyncio.get_running_loop().time()
        for session in self._edge.sessions:
            if (reason := overdue(session, now)) is not None:
                session.end(reason)


def overdue(session: Session, now: float) -> str | None:
    """Return why a session has to end at `now` on the loop's clock, or None."""
    idle = session.permits.idle
    if idle is not None and now - session.last_active >= idle.total_seconds():
        return f"nothing was typed for {int(idle.total_seconds())} seconds"
    if session.approved.options.disconnect_expired_cert and now >= session.expires:
        return "your certificate has expired"
    return None
