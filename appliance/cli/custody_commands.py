"""`sallyctl auth|certs|hsm`: authorities, certificates, the token."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance.cli import frame, output
from appliance.cli.durations import TtlType
from appliance.domain.operations import custody, people
from appliance.domain.operations.operation import Nothing
from appliance.domain.records import AuthorityKind, RotationPhase
from hsm.signer.protocol import Ca

if TYPE_CHECKING:
    from appliance.cli.console import Console

KINDS = ("user", "openssh", "host", "tls")


@click.group(cls=frame.Answers)
def auth() -> None:
    """The cluster's certificate authorities."""


@auth.command("ls")
@click.pass_obj
def auth_ls(console: Console) -> None:
    """List the authorities' keys."""
    found: custody.AuthorityList = console.call("authorities.list", Nothing())
    columns: output.Columns = (
        ("CA Type", lambda one: one.kind),
        ("Fingerprint", lambda one: one.fingerprint),
        ("Since", lambda one: output.when(one.created_at)),
        ("Signs", lambda one: "yes" if one.signing else "no, still trusted"),
    )
    head = f"CA keys for the local cluster {found.cluster}:\n\n"
    output.show(found, lambda: head + output.table(found.authorities, columns, empty="none"))


@auth.command("export")
@click.option("--type", "kind", type=click.Choice(KINDS), help="Which authority; without it user and host.")
@click.option("--compat", type=click.Choice(["1.0"]), help="1.0: the user authority in known_hosts form.")
@click.pass_obj
def auth_export(console: Console, kind: str | None, compat: str | None) -> None:
    """Print public keys in the form their users read.

    user: authorized_keys form; openssh: for TrustedUserCAKeys; host: known_hosts form; tls: PEM.
    """
    from appliance.cli.export import exported

    found: custody.AuthorityList = console.call("authorities.list", Nothing())
    output.show(found, lambda: exported(found, kind, known_hosts_form=compat is not None))


@auth.command("sign")
@click.option("--user", required=True, help="Whose identity.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The identity file to write.")
@click.option("--ttl", type=TtlType(), help="How long it shall live, from 1m to 30h.")
@click.pass_obj
def auth_sign(console: Console, user: str, out: Path, ttl: int | None) -> None:
    """Write an identity file for USER: private key, SSH and TLS certificates, authorities, in one file."""
    from appliance.client.person.home import fresh_keys
    from appliance.client.person.identity_file import write_identity

    keys = fresh_keys()
    request = custody.IdentitySign(
        user=user, ssh_public_key=keys.ssh_blob, tls_public_key=keys.tls_public, ttl_seconds=ttl
    )
    issued: people.IssuedCredentials = console.call("identities.sign", request)
    write_identity(out, keys, issued)
    output.show(issued, lambda: f"The identity of {user} is in {out} until {output.when(issued.expires_at)}.")


@auth.command("status")
@click.pass_obj
def auth_status(console: Console) -> None:
    """Show where each authority's rotation stands."""
    found: custody.RotationList = console.call("rotation.list", Nothing())
    output.show(found, lambda: _rotations(found.authorities))


@auth.command("rotate")
@click.option("--type", "kind", type=click.Choice(KINDS), required=True, help="Which authority.")
@click.option("--phase", type=click.Choice([str(phase) for phase in RotationPhase]), default="init")
@click.option(
    "--grace", type=TtlType(), help="With init: go through the later phases by itself, each so long."
)
@click.pass_obj
def auth_rotate(console: Console, kind: str, phase: str, grace: int | None) -> None:
    """Rotate an authority's key: init, update_clients, update_servers, standby; or rollback.

    Begin with init, or with init and --grace to have it go on by itself. Wait as long as certificates
    live (30 hours at most) before leaving init and update_servers, and nobody notices.
    """
    request = custody.Rotate(kind=AuthorityKind(kind), phase=RotationPhase(phase), grace_seconds=grace or 0)
    status: custody.RotationStatus = console.call("rotation.go", request)
    output.show(status, lambda: _rotations((status,)))


def _rotations(found: tuple[custody.RotationStatus, ...]) -> str:
    columns: output.Columns = (
        ("CA Type", lambda one: one.kind),
        ("Phase", lambda one: one.phase),
        ("Next phase", lambda one: " or ".join(one.can_go_to)),
        ("By itself at", lambda one: output.when(one.next_phase_at) if one.next_phase_at else "-"),
        ("Trusted keys, the signing one first", lambda one: " ".join(one.fingerprints)),
    )
    return output.table(found, columns, empty="none")


@click.group(cls=frame.Answers)
def certs() -> None:
    """The register of every certificate."""


@certs.command("ls")
@click.option("--serial", default="", help="Of this serial number.")
@click.option("--key-id", default="", help="With this key id.")
@click.option("--principal", default="", help="With this principal.")
@click.option("--user", default="", help="Of this person.")
@click.option("--session", default="", help="Made for this session.")
@click.option("--valid", is_flag=True, help="Only those neither ended nor revoked.")
@click.option("--limit", default=50, show_default=True)
@click.pass_obj
def certs_ls(
    console: Console,
    serial: str,
    key_id: str,
    principal: str,
    user: str,
    session: str,
    valid: bool,
    limit: int,
) -> None:
    """Search the register, newest first."""
    query = custody.CertificatesQuery(
        serial=serial,
        key_id=key_id,
        principal=principal,
        user=user,
        session=session,
        valid_only=valid,
        limit=limit,
    )
    found: custody.CertificateList = console.call("certificates.list", query)
    output.show(found, lambda: _certificates(found))


@certs.command("show")
@click.argument("serial")
@click.pass_obj
def certs_show(console: Console, serial: str) -> None:
    """Show all that the register knows of one certificate."""
    query = custody.CertificatesQuery(serial=serial)
    found: custody.CertificateList = console.call("certificates.list", query)
    if not found.certificates:
        raise click.ClickException(f"no certificate has the serial {serial}")
    one = found.certificates[0]
    output.show(one, lambda: _facts(one))


@certs.command("revoke")
@click.argument("serial", required=False, default="")
@click.option("--user", default="", help="All valid certificates of this person.")
@click.option("--session", default="", help="Those of this session.")
@click.option("--reason", default="", help="Why; it goes into the register and the log.")
@click.pass_obj
def certs_revoke(console: Console, serial: str, user: str, session: str, reason: str) -> None:
    """Revoke a certificate by SERIAL, or all of a person or session; live sessions end within seconds."""
    request = custody.CertificatesRevoke(serial=serial, user=user, session=session, reason=reason)
    found: custody.CertificateList = console.call("certificates.revoke", request)
    output.show(found, lambda: f"{len(found.certificates)} revoked\n{_certificates(found)}")


@certs.command("krl")
@click.option(
    "--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="The file to write."
)
@click.pass_obj
def certs_krl(console: Console, out: Path) -> None:
    """Write the key revocation list, for sshd's RevokedKeys."""
    krl: custody.Krl = console.call("krl.read", custody.KrlRead())
    draft = out.with_name(out.name + ".draft")
    draft.write_bytes(krl.data)
    draft.replace(out)
    output.show(krl, lambda: f"{out}: version {krl.version}, {len(krl.data)} bytes")


def _certificates(found: custody.CertificateList) -> str:
    columns: output.Columns = (
        ("Serial", lambda one: one.serial),
        ("CA", lambda one: one.authority),
        ("Key ID", lambda one: one.key_id),
        ("Principals", lambda one: ",".join(one.principals)),
        ("Valid until", lambda one: output.when(one.valid_before)),
        ("Revoked", lambda one: output.when(one.revoked_at) if one.revoked_at else "-"),
    )
    return output.table(found.certificates, columns, empty="no certificate fits that")


def _facts(one: custody.CertificateView) -> str:
    rows = {
        "Serial": one.serial,
        "Authority": one.authority,
        "Key ID": one.key_id,
        "Principals": ", ".join(one.principals),
        "Key": one.subject_key or "-",
        "Person": one.user or "-",
        "Session": one.session or "-",
        "Valid": f"{output.when(one.valid_after)} to {output.when(one.valid_before)}",
        "Issued": output.when(one.issued_at),
        "Signed SHA-256": one.signed_digest,
        "Revoked": f"{output.when(one.revoked_at)} by {one.revoked_by}: {one.revoke_reason or '-'}"
        if one.revoked_at
        else "no",
    }
    return "\n".join(f"{name:<15} {output.plain(value)}" for name, value in rows.items())


@click.group(cls=frame.Answers)
def hsm() -> None:
    """The token that holds the private keys."""


@hsm.command("status")
@click.pass_obj
def hsm_status(console: Console) -> None:
    """Show the signer: sealed or open, its queue, its ledger."""
    report = console.signer.status()

    def text() -> str:
        return (
            f"Signer   {report.state}{f' ({report.reason})' if report.reason else ''}\n"
            f"Ledger   {report.head.entries} entries, head {report.head.hash}\n"
            f"Queue    {report.waiting} of {report.queue_size} waiting\n"
            f"Signed   {report.signatures} since it started"
        )

    output.show(report, text)


@hsm.command("ls")
@click.pass_obj
def hsm_ls(console: Console) -> None:
    """List the cluster's keys in the token."""
    from hsm.encoding.public_key import fingerprint

    keys = console.signer.public_keys()
    columns: output.Columns = (
        ("CA", lambda key: key.ca),
        ("Generation", lambda key: key.generation),
        ("Algorithm", lambda key: key.algorithm),
        ("Fingerprint", lambda key: fingerprint(key.public_key)),
    )
    output.show(keys, lambda: output.table(keys, columns, empty="no keys"))


@hsm.command("preflight")
@click.pass_obj
def hsm_preflight(console: Console) -> None:
    """Look at the token before a start, an upgrade or a rotation; status 1 when something would go wrong."""
    report = console.signer.preflight()

    def text() -> str:
        kind = "hardware" if report.hardware else "software: no hardware protects these keys"
        lines = [
            f"Token        {report.model} {report.serial} {report.firmware}".rstrip() + f" ({kind})",
            f"Algorithms   {', '.join(report.algorithms)}",
            f"Mechanisms   {', '.join(report.mechanisms)}",
            f"Free slots   {'not told' if report.free_slots is None else report.free_slots}",
            f"PIN tries    {'not told' if report.pin_tries_left is None else report.pin_tries_left}",
            f"Speed        {report.signatures_per_second} signatures per second, measured now",
            *(f"Note         {note}" for note in report.notes),
            *(f"PROBLEM      {problem}" for problem in report.problems),
        ]
        return "\n".join([*lines, "" if report.problems else "Nothing stands in the way."])

    output.show(report, text)
    sys.exit(1 if report.problems else 0)


@hsm.command("attest")
@click.argument("ca", type=click.Choice([str(ca) for ca in Ca]))
@click.option("--generation", type=int, help="Which generation; the newest if left out.")
@click.pass_obj
def hsm_attest(console: Console, ca: str, generation: int | None) -> None:
    """Show what is known about where a key was made."""
    made = [key.generation for key in console.signer.public_keys() if key.ca == ca]
    report = console.signer.attest(Ca(ca), generation or max(made, default=1))
    output.show(report, lambda: f"{report.kind}: {report.statement}")


@hsm.group("ledger")
def ledger() -> None:
    """The signer's own book of every signature."""


@ledger.command("verify")
@click.pass_obj
def ledger_verify(console: Console) -> None:
    """Check the ledger's chain and compare it with the register; status 1 when they differ."""
    from appliance.cli.ledger_check import differences

    found = differences(console)
    text = "\n".join(found) if found else "The ledger is whole, and the register agrees with it."
    output.show(found, lambda: text)
    sys.exit(1 if found else 0)
