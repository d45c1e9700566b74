"""Throughput and CPU: rows A (streams the bastion does not look into), B (recorded sessions), J (layers)."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING

from bench.frame import Better, Plan, Row, interleaved, ratio_row, value_row
from bench.ssh import delay
from bench.ssh.appliance import NODE
from bench.ssh.transfer import (
    MIB,
    Measured,
    Payload,
    random_payload,
    session_down,
    session_up,
    stream_down,
    stream_up,
    text_payload,
    transfer_file,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.meter import Meter
    from bench.ssh.site import Site

CPU, RATE = "CPU s/GiB", "MiB/s"
LOOPBACK = "127.0.0.1"
RTT = 0.040
OWN_CIPHERS = "the client's own choice of cipher"
RECORDED = "text, recorded, zstd; until the recording is with auth; against `ssh jump ssh node`, not recorded"


def _random(site: Site, plan: Plan, whole: int = 192) -> Payload:
    return random_payload(site.folder, plan.size(whole, 32) * MIB)


def _text(site: Site, plan: Plan) -> Payload:
    return text_payload(site.folder, plan.size(96, 48) * MIB)


def _cpu_row(pairs: Sequence[tuple[Measured, Measured]], note: str = "") -> Row:
    figures = [(ours.cpu_per_gib, peer.cpu_per_gib) for ours, peer in pairs]
    rates = [statistics.median(one.mib_per_second for one in side) for side in zip(*pairs, strict=True)]
    notes = (f"{rates[0]:.0f} against {rates[1]:.0f} {RATE}", note)
    return ratio_row(figures, better=Better.LESS, unit=CPU, note="; ".join(filter(None, notes)))


def _rate_row(pairs: Sequence[tuple[Measured, Measured]], note: str = "") -> Row:
    figures = [(ours.mib_per_second, peer.mib_per_second) for ours, peer in pairs]
    return ratio_row(figures, better=Better.MORE, unit=RATE, note=note)


def jump_down(site: Site, plan: Plan) -> dict[str, Row]:
    """A1: a stream from behind the bastion."""
    return {"A1": _cpu_row(_streams(site, plan, stream_down))}


def jump_up(site: Site, plan: Plan) -> dict[str, Row]:
    """A2: a stream to behind the bastion."""
    return {"A2": _cpu_row(_streams(site, plan, stream_up))}


def default_ciphers(site: Site, plan: Plan) -> dict[str, Row]:
    """A4: as A1, with whatever a stock client and each server agree on."""
    return {"A4": _cpu_row(_streams(site, plan, stream_down, plain=True), OWN_CIPHERS)}


def _streams(
    site: Site,
    plan: Plan,
    stream: Callable[[list[str], str, Payload, Meter], Measured],
    *,
    plain: bool = False,
) -> list[tuple[Measured, Measured]]:
    payload = _random(site, plan)
    return interleaved(
        plan.rounds,
        lambda: stream(site.ssh("us", plain=plain), NODE, payload, site.appliance.meter),
        lambda: stream(site.ssh("peer", plain=plain), LOOPBACK, payload, site.jump.meter),
    )


def chain(site: Site, plan: Plan) -> dict[str, Row]:
    """A3: the whole chain of `ssh -J`, the bastion seeing only its own layer."""
    pairs = _chains(site, plan, "us-blind", "peer-chain")
    return {"A3": _rate_row(pairs, "client, bastion and node share the cores")}


def recorded_chain(site: Site, plan: Plan) -> dict[str, Row]:
    """J1: `ssh -J` where the bastion terminates both layers and records, against `ssh -J` unrecorded."""
    return {"J1": _rate_row(_chains(site, plan, "us-chain", "peer-chain"), "ours recorded")}


def passed(site: Site, plan: Plan) -> dict[str, Row]:
    """J2: one layer, the node named before the SSH banner, recorded, against `ssh -J` unrecorded."""
    return {"J2": _rate_row(_chains(site, plan, "us-passed", "peer-chain"), "ours recorded, one layer")}


def _chains(site: Site, plan: Plan, ours: str, peer: str) -> list[tuple[Measured, Measured]]:
    payload = _text(site, plan)
    return interleaved(
        plan.rounds,
        lambda: session_down([*site.ssh(ours), ""], payload, site.appliance.meter),
        lambda: session_down([*site.ssh(peer), ""], payload, site.jump.meter),
    )


def recorded(site: Site, plan: Plan) -> dict[str, Row]:
    """B1: a recorded session, against two hops of OpenSSH that record nothing."""
    payload = _text(site, plan)
    two_hops = f"ssh -F {site.folder}/inner_config direct"
    rows = {}
    for name, move in (("B1.down", session_down), ("B1.up", session_up)):
        pairs = interleaved(
            plan.rounds,
            lambda move=move: move(  # type: ignore[misc]
                [*site.ssh("us-node"), ""], payload, site.appliance.meter, recorded=True
            ),
            lambda move=move: move(  # type: ignore[misc]
                [*site.ssh("peer-shell"), two_hops], payload, site.jump.meter, recorded=True
            ),
        )
        rows[name] = _cpu_row(pairs, RECORDED)
    return rows


def through(site: Site, plan: Plan) -> dict[str, Row]:
    """B3: through the bastion, recorded, against the node itself."""
    payload = _text(site, plan)
    pairs = interleaved(
        plan.rounds,
        lambda: session_down([*site.ssh("us-node"), ""], payload, site.appliance.meter),
        lambda: session_down([*site.ssh("direct"), ""], payload, site.node.meter),
    )
    return {"B3": _rate_row(pairs, "ours recorded, against no bastion at all")}


def far_upload(site: Site, plan: Plan) -> dict[str, Row]:
    """A5: a stream from a client 40 ms away."""
    payload = random_payload(site.folder, plan.size(48, 8) * MIB)
    with delay.delayed(site.appliance.port, RTT) as us, delay.delayed(site.jump.port, RTT) as peer:
        pairs = interleaved(
            plan.rounds,
            lambda: stream_up(site.ssh("us", options=("-p", str(us))), NODE, payload, site.appliance.meter),
            lambda: stream_up(
                site.ssh("peer", options=("-p", str(peer))), LOOPBACK, payload, site.jump.meter
            ),
        )
    return {"A5": _rate_row(pairs, f"{RTT * 1000:.0f} ms away; from the open stream to the last byte")}


def files(site: Site, plan: Plan) -> dict[str, Row]:
    """B4: sftp, each file's bytes counted and hashed by the bastion, connection and login included."""
    payload = _random(site, plan, 96)
    gets = [_get(site, payload) for _ in range(plan.rounds)]
    puts = [_put(site, payload) for _ in range(plan.rounds)]
    note = "one file of {:.0f} MiB, with the login; {:.0f} MiB/s"
    rates = [statistics.median(one.mib_per_second for one in side) for side in (gets, puts)]
    return {
        f"B4.{name}": value_row([one.cpu_per_gib for one in side], CPU, note.format(payload.size / MIB, rate))
        for name, side, rate in (("get", gets, rates[0]), ("put", puts, rates[1]))
    }


def _get(site: Site, payload: Payload) -> Measured:
    return transfer_file(_sftp(site), "get", payload, site.folder / "fetched", site.appliance.meter)


def _put(site: Site, payload: Payload) -> Measured:
    return transfer_file(_sftp(site), "put", payload, site.folder / "stored", site.appliance.meter)


def _sftp(site: Site) -> list[str]:
    return ["sftp", "-q", "-F", str(site.config), "-b", "-", "us-node"]
