"""The auth service, as the event loop sees it: each question runs on one of a few threads."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Protocol, Self

from appliance.domain.errors import Denied, SallyportError, Sealed, Throttled
from appliance.domain.operations import ssh

if TYPE_CHECKING:
    from datetime import datetime

log = logging.getLogger(__name__)
THREADS = 8
"""Questions under way at once; a decision with a signature takes the token a few milliseconds."""
CANT_DECIDE = "the bastion can't decide this now, try again"


class Caller(Protocol):
    """`appliance.client.Api`, or what a test puts in its place."""

    def call(self, name: str, request: object) -> Any:
        """Do one operation; raises `SallyportError`. Blocks; called on several threads at once."""


class Clock(Protocol):
    """The only source of the time of day."""

    def now(self) -> datetime:
        """Return the current time, in UTC."""


class Authority:
    """Asks; decides nothing."""

    def __init__(self, api: Caller, *, proxy_id: str, threads: int = THREADS) -> None:
        self._api = api
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="authority")
        self.proxy_id = proxy_id

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._threads.shutdown)

    async def ask(self, name: str, request: object) -> Any:
        """Do one operation; raises `SallyportError`."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._api.call, name, request)

    async def register(self, host_key: bytes) -> ssh.ProxyTrust:
        """Return what a proxy has to know; `host_key` is public, SSH wire form."""
        request = ssh.ProxyRegister(proxy_id=self.proxy_id, host_key=host_key)
        trust: ssh.ProxyTrust = await self.ask("proxy.register", request)
        return trust

    async def certify(self, node: str, host_key: bytes) -> bytes:
        """Return a host certificate in a node's name, SSH wire form."""
        answer: ssh.HostCertified = await self.ask(
            "hosts.certify", ssh.HostCertify(node=node, host_key=host_key)
        )
        return answer.certificate

    async def login(self, evidence: ssh.SshEvidence, user: str) -> ssh.LoginAccepted | ssh.AccessRefused:
        """Judge a person at the bastion's own door; a service that fails is a refusal."""
        answer: ssh.LoginAccepted | ssh.AccessRefused = await self._decide(
            "ssh.login", ssh.SshLogin(evidence=evidence, user=user)
        )
        return answer

    async def connect(
        self, request: ssh.ConnectRequest
    ) -> ssh.SessionApproved | ssh.MoreProof | ssh.AccessRefused:
        """Decide a connection to a node; a service that fails is a refusal."""
        answer: ssh.SessionApproved | ssh.MoreProof | ssh.AccessRefused
        answer = await self._decide("ssh.connect", request)
        return answer

    async def direct(self, request: ssh.DirectRequest) -> ssh.DirectApproved | ssh.AccessRefused:
        """Decide an unrecorded byte stream; a service that fails is a refusal."""
        answer: ssh.DirectApproved | ssh.AccessRefused = await self._decide("ssh.direct", request)
        return answer

    async def _decide(self, name: str, request: object) -> Any:
        try:
            return await self.ask(name, request)
        except (Denied, Throttled) as error:
            return ssh.AccessRefused(message=str(error))
        except Sealed as error:
            return ssh.AccessRefused(message=str(error))
        except SallyportError as error:
            log.warning("%s could not be decided: %s", name, error)
            return ssh.AccessRefused(message=CANT_DECIDE)

    async def pulse(self, sessions: tuple[str, ...]) -> dict[str, str]:
        """Tell which sessions run; return which of them must end, and why."""
        answer: ssh.PulseAnswer = await self.ask(
            "proxy.pulse", ssh.Pulse(proxy_id=self.proxy_id, sessions=sessions)
        )
        return answer.end

    async def report(self, *facts: ssh.SessionFacts) -> None:
        """Put facts into the log."""
        await self.ask("sessions.report", ssh.SessionReport(facts=facts))

    async def end(self, end: ssh.SessionEnd) -> None:
        """Tell that a session is over."""
        await self.ask("sessions.end", end)
