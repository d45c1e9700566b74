"""The auth process: the only writer of state. Decides, records, asks the signer, answers the API."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from threading import Event as Signal
from typing import TYPE_CHECKING

from appliance import __version__
from appliance.api import listeners
from appliance.api.application import create_app
from appliance.api.identify import Door, Identify
from appliance.audit.log import AuditLog
from appliance.audit.reader import AuditReader
from appliance.authn.codes import Codes
from appliance.authn.passkeys import Passkeys
from appliance.authn.password import PasswordCheck
from appliance.authn.seeds import KEY_BYTES, SeedVault
from appliance.authn.throttle import Curve
from appliance.broker import state as repositories
from appliance.broker.access import Access
from appliance.broker.accounts import Accounts, Links
from appliance.broker.actions import Actions
from appliance.broker.authorities import Authorities
from appliance.broker.broker import Broker, Rooms, table
from appliance.broker.browser_logins import BrowserLogins
from appliance.broker.challenges import Challenges
from appliance.broker.connect import Connect
from appliance.broker.credentials import Credentials, WebSessions
from appliance.broker.devices import Devices
from appliance.broker.enrolment import Enrolment
from appliance.broker.gate import Gate
from appliance.broker.issue import Issuer
from appliance.broker.journal import Journal, Readers
from appliance.broker.kinds import Kind, NodeKind, PreferenceKind, RoleKind, UserKind
from appliance.broker.living_policy import LivingPolicy
from appliance.broker.machines import Machines
from appliance.broker.ports import Clock, Custody, Randomness, Trail
from appliance.broker.preferences import Preferences
from appliance.broker.recordings import StoredRecordings
from appliance.broker.register import Register
from appliance.broker.resources import Resources
from appliance.broker.roles import Roles
from appliance.broker.rotation import Rotation
from appliance.broker.session_check import SessionCheck
from appliance.broker.sessions import Edge, Seen, Sessions
from appliance.broker.sign_in import SignIn
from appliance.broker.state import State
from appliance.broker.throttle import Throttle
from appliance.broker.trail import LogTrail
from appliance.broker.web_pages import WebPages
from appliance.certificates.custody import SignerCustody
from appliance.certificates.lifetimes import Lifetimes
from appliance.config import Config
from appliance.config.addresses import Addresses
from appliance.domain import names
from appliance.domain.auth_preference import AuthPreference
from appliance.domain.events import Event, EventName
from appliance.domain.operations import Caller
from appliance.domain.operations.people import ClusterInfo
from appliance.domain.records import AuthorityKind
from appliance.recording.store import RecordingStore
from appliance.roles import notify
from appliance.roles.api_tls import ApiTls, released
from appliance.roles.checkpoints import TREE, begin, checkpointer, on_pressure
from appliance.roles.clock_check import check_clock
from appliance.roles.layout import Layout, closed, secret_file
from appliance.roles.process import main
from appliance.roles.upkeep import Chore, keep_up
from appliance.store.sqlite import SqliteBackend
from appliance.system import SystemClock, SystemRandomness
from authenticators.fido2.relying_party import RelyingParty
from hsm.errors import HsmError
from hsm.signer.client import SignerClient

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from appliance.audit.checkpoint import Checkpointer


SWEEP_SECONDS = 5.0
PURGE_SECONDS = 60.0
CEREMONY = timedelta(minutes=5)
"""How long a person may take over a security key, as the other products of the field allow."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What everything else stands on."""

    config: Config
    layout: Layout
    addresses: Addresses
    clock: Clock
    random: Randomness
    state: State
    trail: Trail
    custody: Custody


@dataclass(frozen=True, slots=True, kw_only=True)
class Raw:
    """What checkpoints are made of, below the use cases."""

    log: AuditLog
    signer: SignerClient


def run(config: Config, arguments: argparse.Namespace) -> None:
    """Serve until SIGTERM."""
    stop = Signal()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with ExitStack() as closing:
        ground, raw = _ground(config, closing)
        if not arguments.accept_clock:
            check_clock(ground.trail, ground.clock)
        rooms = compose(ground)
        api_tls = ApiTls(ground.layout.auth, rooms, ground.addresses.api_hosts, ground.clock)
        if not released(stop, rooms.authorities.establish) or not released(stop, api_tls.context):
            return
        begin(_checkpoints(ground, raw, rooms), closing)
        ground.trail.record(Event(name=EventName.SERVICE_START, detail={"service": "auth"}))
        for listener in _listen(ground, rooms, api_tls):
            closing.callback(listener.stop)
        notify.ready("serving")
        keep_up(_chores(ground, rooms), stop, step=SWEEP_SECONDS)
        ground.trail.record(Event(name=EventName.SERVICE_STOP, detail={"service": "auth"}))


def _chores(ground: Ground, rooms: Rooms) -> tuple[Chore, ...]:
    return (
        Chore(name="ending silent sessions", every=SWEEP_SECONDS, do=rooms.sessions.sweep),
        Chore(name="rotating on a timer", every=SWEEP_SECONDS, do=rooms.rotation.tick),
        Chore(name="removing what has expired", every=PURGE_SECONDS, do=ground.state.backend.purge),
    )


def _checkpoints(ground: Ground, raw: Raw, rooms: Rooms) -> Checkpointer:
    return checkpointer(
        raw.log,
        folder=ground.layout.log,
        tree=ground.layout.auth / TREE,
        authorities=rooms.authorities,
        signer=raw.signer,
    )


def _open_log(folder: Path, clock: Clock) -> AuditLog:
    opened = list[AuditLog]()
    pressure = Event(name=EventName.AUDIT_PRESSURE, error="the disk of the audit log fills up").to_record()
    tell = on_pressure(lambda: opened[0] if opened else None, {**pressure})
    opened.append(AuditLog.open(folder, clock=clock, on_pressure=tell))
    return opened[0]


def _ground(config: Config, closing: ExitStack) -> tuple[Ground, Raw]:
    layout, clock = Layout(closed(config.data_dir)), SystemClock()
    for folder in (layout.run, layout.auth, layout.log, layout.log / "sessions"):
        closed(folder)
    backend = SqliteBackend.open(layout.auth / "state.sqlite", clock=clock)
    closing.callback(backend.close)
    log = _open_log(layout.log, clock)
    closing.callback(log.close)
    reader = AuditReader(
        layout.log, index=layout.auth / "events-index.sqlite", durable=lambda: log.head().seq
    )
    closing.callback(reader.close)
    signer = SignerClient(layout.signer_auth)
    closing.callback(signer.close)
    ground = Ground(
        config=config,
        layout=layout,
        addresses=Addresses.of(config),
        clock=clock,
        random=SystemRandomness(),
        state=repositories.over(backend),
        trail=LogTrail(log=log, reader=reader, clock=clock),
        custody=SignerCustody(client=signer, clock=clock),
    )
    return ground, Raw(log=log, signer=signer)


def _lifetimes(config: Config) -> Lifetimes:
    settings = config.auth_service.certificates
    return Lifetimes(
        default=timedelta(seconds=settings.default_ttl),
        longest=timedelta(seconds=settings.max_ttl),
        session=timedelta(seconds=settings.session_ttl),
        host=timedelta(seconds=settings.host_ttl),
        proxy_host=timedelta(seconds=settings.proxy_host_ttl),
    )


def _throttle(ground: Ground) -> Throttle:
    settings = ground.config.auth_service.lockout

    def curve(free: int) -> Curve:
        return Curve(
            free=free,
            first=timedelta(seconds=settings.first_delay),
            longest=timedelta(seconds=settings.longest_delay),
            window=timedelta(seconds=settings.window),
        )

    return Throttle(
        state=ground.state,
        clock=ground.clock,
        per_pair=curve(settings.free_attempts),
        per_source=curve(settings.source_attempts),
    )


def compose(ground: Ground) -> Rooms:
    """Return the use cases over this ground."""
    settings, cluster = ground.config.auth_service, ground.config.auth_service.cluster_name
    state, clock, random, trail = ground.state, ground.clock, ground.random, ground.trail
    web_address, lifetimes = ground.addresses.web, _lifetimes(ground.config)
    authorities = Authorities(state=state, custody=ground.custody, trail=trail, cluster=cluster)
    issuer = Issuer(state=state, custody=ground.custody, authorities=authorities, trail=trail, clock=clock)
    preferences = Preferences(state=state, file=_preference(ground), longest=lifetimes.longest)
    roles = Roles(state=state, policy=LivingPolicy(state, preferences))
    vault = SeedVault(secret_file(ground.layout.auth / "seed.key", random.bytes(KEY_BYTES)), random.bytes)
    codes, passkeys = Codes(random.bytes), Passkeys(_relying_party(ground))
    links = Links(state=state, random=random, trail=trail, clock=clock, web_address=web_address)
    register = Register(state=state, authorities=authorities, trail=trail, clock=clock, cluster=cluster)
    recordings = StoredRecordings(store=RecordingStore(ground.layout.recordings))
    sign_in = SignIn(
        state=state,
        codes=codes,
        passkeys=passkeys,
        passwords=PasswordCheck(random.bytes(16).hex()),
        vault=vault,
        throttle=_throttle(ground),
        random=random,
        trail=trail,
        clock=clock,
        preferences=preferences,
    )
    challenges = Challenges(
        state=state,
        codes=codes,
        passkeys=passkeys,
        vault=vault,
        throttle=sign_in.throttle,
        preferences=preferences,
        random=random,
        trail=trail,
        clock=clock,
        cluster=cluster,
    )
    enrolment = Enrolment(
        state=state,
        links=links,
        codes=codes,
        passkeys=passkeys,
        vault=vault,
        random=random,
        trail=trail,
        clock=clock,
        preferences=preferences,
        cluster=cluster,
        shortest_password=settings.authentication.password_min_length,
    )
    credentials = Credentials(
        state=state,
        sign_in=sign_in,
        issuer=issuer,
        authorities=authorities,
        roles=roles,
        preferences=preferences,
        lifetimes=lifetimes,
        clock=clock,
        cluster=cluster,
    )
    return Rooms(
        info=lambda: _info(ground, authorities, preferences),
        accounts=Accounts(
            state=state,
            links=links,
            roles=roles,
            trail=trail,
            clock=clock,
            reset_life=timedelta(seconds=settings.invite_ttl),
        ),
        enrolment=enrolment,
        devices=Devices(
            state=state,
            enrolment=enrolment,
            challenges=challenges,
            random=random,
            trail=trail,
            clock=clock,
        ),
        sign_in=sign_in,
        credentials=credentials,
        web_sessions=WebSessions(
            state=state,
            sign_in=sign_in,
            roles=roles,
            random=random,
            trail=trail,
            clock=clock,
            cluster=cluster,
        ),
        browser_logins=BrowserLogins(
            state=state,
            credentials=credentials,
            random=random,
            trail=trail,
            clock=clock,
            web_address=web_address,
        ),
        machines=Machines(
            state=state,
            issuer=issuer,
            authorities=authorities,
            register=register,
            roles=roles,
            lifetimes=lifetimes,
            random=random,
            trail=trail,
            clock=clock,
            cluster=cluster,
        ),
        connect=Connect(
            state=state,
            authorities=authorities,
            roles=roles,
            check=SessionCheck(challenges=challenges, web_address=web_address),
            issuer=issuer,
            lifetimes=lifetimes,
            egress=route_source,
            random=random,
            trail=trail,
            clock=clock,
            cluster=cluster,
        ),
        edge=Edge(
            state=state,
            authorities=authorities,
            issuer=issuer,
            lifetimes=lifetimes,
            clock=clock,
            cluster=cluster,
            bastion_names=ground.addresses.bastion_names,
            max_connections=ground.config.sallyport.connection_limits.max_connections,
            max_users=ground.config.sallyport.connection_limits.max_users,
        ),
        sessions=Sessions(state=state, recordings=recordings, trail=trail, clock=clock, seen=Seen()),
        authorities=authorities,
        rotation=Rotation(
            state=state, custody=ground.custody, authorities=authorities, trail=trail, clock=clock
        ),
        register=register,
        challenges=challenges,
        access=Access(state=state, roles=roles, clock=clock, life=lifetimes.longest),
        resources=Resources(
            state=state, roles=roles, kinds=_kinds(ground, preferences), trail=trail, clock=clock
        ),
        web_pages=WebPages(
            issuer=issuer, authorities=authorities, clock=clock, hosts=ground.addresses.web_hosts
        ),
        journal=Journal(
            state=state, recordings=recordings, roles=roles, trail=trail, clock=clock, readers=Readers()
        ),
    )


def _kinds(ground: Ground, preferences: Preferences) -> dict[str, Kind]:
    state = ground.state
    kinds: tuple[Kind, ...] = (
        RoleKind(state=state),
        UserKind(state=state, clock=ground.clock),
        NodeKind(state=state),
        PreferenceKind(preferences=preferences),
    )
    return {kind.name: kind for kind in kinds}


def _preference(ground: Ground) -> AuthPreference:
    """Return what the configuration file says on proving oneself."""
    settings = ground.config.auth_service
    return AuthPreference(
        second_factors=settings.authentication.factors,
        required=settings.authentication.required,
        rp_id=settings.authentication.webauthn.rp_id,
        default_session_ttl=timedelta(seconds=settings.certificates.default_ttl),
    )


def _relying_party(ground: Ground) -> RelyingParty:
    return RelyingParty(
        rp_id=ground.config.auth_service.authentication.webauthn.rp_id,
        name=f"Sallyport {ground.config.auth_service.cluster_name}",
        origins=frozenset({f"https://{ground.addresses.web_origin}"}),
        lifetime=CEREMONY,
    )


def _info(ground: Ground, authorities: Authorities, preferences: Preferences) -> ClusterInfo:
    authentication = ground.config.auth_service.authentication
    return ClusterInfo(
        server_version=__version__,
        cluster=ground.config.auth_service.cluster_name,
        second_factors=preferences.current().second_factors,
        rp_id=authentication.webauthn.rp_id,
        web_address=ground.addresses.web,
        ssh_address=ground.addresses.ssh,
        api_address=ground.addresses.api,
        tls_authority=authorities.tls_certificate(),
        tls_authorities=authorities.tls_certificates(),
        host_authority=authorities.openssh_lines(AuthorityKind.HOST),
    )


def answering(ground: Ground, rooms: Rooms) -> Broker:
    """Return the table of use cases behind its two gates."""
    gate = Gate(state=ground.state, roles=rooms.accounts.roles, trail=ground.trail, clock=ground.clock)
    challenges = rooms.challenges
    actions = Actions(challenges=challenges, preferences=challenges.preferences, trail=ground.trail)
    return Broker(gate=gate, actions=actions, use_cases=table(rooms))


def _listen(ground: Ground, rooms: Rooms, api_tls: ApiTls) -> Iterator[listeners.Listener]:
    """Yield each listener as soon as it listens, so that it is stopped when a later one can't."""
    identify = Identify(
        cluster=ground.config.auth_service.cluster_name,
        web_session=rooms.web_sessions.person,
        holds=rooms.register.holds,
    )
    app = create_app(answering(ground, rooms), identify)
    own = frozenset({os.getuid()})
    address = names.host_port(ground.config.auth_service.listen_addr)
    yield listeners.unix(app, ground.layout.console, Door(caller=Caller.CONSOLE, uids=own | {0}))
    yield listeners.unix(app, ground.layout.proxy, Door(caller=Caller.PROXY, uids=own))
    yield listeners.unix(app, ground.layout.web, Door(caller=Caller.WEB, uids=own))
    yield listeners.tls(app, address, api_tls.context)


def route_source(address: str) -> str:
    """Return the local address that connections to `host:port` come from.

    Asks the kernel's routes, sends nothing.
    """
    host, port = names.host_port(address)
    family, kind, protocol, _, target = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.connect(target)
        source: str = probe.getsockname()[0]
    return source.partition("%")[0]


if __name__ == "__main__":
    main("auth", run, expected=(HsmError,))
