"""The table: every operation's name to the use case that answers it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from appliance.broker.access import Access
from appliance.broker.accounts import Accounts
from appliance.broker.actions import Actions
from appliance.broker.authorities import Authorities
from appliance.broker.browser_logins import BrowserLogins
from appliance.broker.challenges import Challenges
from appliance.broker.connect import Connect
from appliance.broker.credentials import Credentials, WebSessions
from appliance.broker.devices import Devices
from appliance.broker.enrolment import Enrolment
from appliance.broker.gate import Gate
from appliance.broker.journal import Journal
from appliance.broker.machines import Machines
from appliance.broker.register import Register
from appliance.broker.resources import Resources
from appliance.broker.rotation import Rotation
from appliance.broker.sessions import Edge, Sessions
from appliance.broker.sign_in import SignIn
from appliance.broker.web_pages import WebPages
from appliance.domain.errors import Denied
from appliance.domain.operations import OPERATIONS
from appliance.domain.operations.people import ClusterInfo

if TYPE_CHECKING:
    from appliance.broker.callers import Identity

UseCase = Callable[[Any, Any], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rooms:
    """The use cases, by noun."""

    info: Callable[[], ClusterInfo]
    accounts: Accounts
    enrolment: Enrolment
    sign_in: SignIn
    credentials: Credentials
    web_sessions: WebSessions
    browser_logins: BrowserLogins
    machines: Machines
    connect: Connect
    edge: Edge
    sessions: Sessions
    authorities: Authorities
    rotation: Rotation
    register: Register
    web_pages: WebPages
    journal: Journal
    resources: Resources
    access: Access
    challenges: Challenges
    devices: Devices


def table(rooms: Rooms) -> dict[str, UseCase]:
    """Return operation name to use case: one line an operation."""
    return {
        "cluster.ping": lambda _identity, _request: rooms.info(),
        "users.create": rooms.accounts.create,
        "users.list": rooms.accounts.list,
        "users.update": rooms.accounts.update,
        "users.reset": rooms.accounts.reset,
        "users.delete": rooms.accounts.delete,
        "invites.show": rooms.enrolment.show,
        "invites.begin": rooms.enrolment.begin,
        "invites.finish": rooms.enrolment.finish,
        "login.begin": rooms.sign_in.begin,
        "login.prove": rooms.sign_in.prove,
        "login.issue": rooms.credentials.issue,
        "web_sessions.create": rooms.web_sessions.create,
        "web_sessions.end": rooms.web_sessions.end,
        "me.show": rooms.web_sessions.show,
        "browser_logins.create": rooms.browser_logins.create,
        "browser_logins.show": rooms.browser_logins.show,
        "browser_logins.answer": rooms.browser_logins.answer,
        "browser_logins.collect": rooms.browser_logins.collect,
        "nodes.add_openssh": rooms.machines.add_openssh,
        "nodes.bundle": rooms.machines.bundle,
        "nodes.list": rooms.machines.list,
        "nodes.delete": rooms.machines.delete,
        "proxy.register": rooms.edge.register,
        "proxy.pulse": rooms.sessions.pulse,
        "hosts.certify": rooms.edge.certify,
        "ssh.login": rooms.connect.login,
        "ssh.connect": rooms.connect.connect,
        "ssh.direct": rooms.connect.direct,
        "sessions.report": rooms.sessions.report,
        "sessions.end": rooms.sessions.end,
        "recordings.append": rooms.sessions.append,
        "recordings.finish": rooms.sessions.finish,
        "recordings.read": rooms.journal.read,
        "recordings.export": rooms.journal.export,
        "sessions.list": rooms.journal.sessions,
        "events.list": rooms.journal.events,
        "authorities.list": rooms.authorities.list,
        "identities.sign": rooms.credentials.sign,
        "rotation.list": rooms.rotation.list,
        "rotation.go": rooms.rotation.go,
        "certificates.list": rooms.register.search,
        "certificates.revoke": rooms.register.revoke,
        "krl.read": rooms.register.krl,
        "web.certify": rooms.web_pages.certify,
        "token.status": rooms.authorities.token,
        "devices.list": rooms.devices.list,
        "devices.begin": rooms.devices.begin,
        "devices.finish": rooms.devices.finish,
        "devices.remove": rooms.devices.remove,
        "challenges.show": rooms.challenges.show,
        "challenges.answer": rooms.challenges.answer,
        "access.why": rooms.access.why,
        "access.list": rooms.access.list,
        "resources.get": rooms.resources.get,
        "resources.preview": rooms.resources.preview,
        "resources.apply": rooms.resources.apply,
        "resources.delete": rooms.resources.delete,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Answers operations: the gate first, then the use case."""

    gate: Gate
    actions: Actions
    use_cases: Mapping[str, UseCase]

    def __post_init__(self) -> None:
        if self.use_cases.keys() != OPERATIONS.keys():
            odd = sorted(self.use_cases.keys() ^ OPERATIONS.keys())
            raise ValueError(f"operations and use cases differ: {', '.join(odd)}")

    def __call__(self, name: str, identity: Identity, request: object) -> object:
        """Do one operation; raises a `SallyportError`. What was denied is in the log, wherever it was."""
        self.gate.check(OPERATIONS[name], identity)
        try:
            self.actions.check(OPERATIONS[name], identity, request)
            return self.use_cases[name](identity, request)
        except Denied as error:
            if not error.recorded:
                self.gate.record(OPERATIONS[name], identity, error)
            raise
