"""What every certificate must look like, whoever asks (before and after it is signed)."""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING

from hsm.encoding import public_key
from hsm.errors import Malformed
from hsm.signer.protocol import Code, SignerError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hsm.signer.limits import CertificateLimits
    from hsm.signer.protocol import Option, SignX509

USER_PRINCIPAL = re.compile(r"[a-z_][a-z0-9._-]{0,31}")
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9])?)*"
)
X509_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9 ._@:+=/-]{0,62}[A-Za-z0-9_])?")
URI = re.compile(r"[a-z][a-z0-9+.-]{0,31}:[!-~]{1,400}")
MAX_KEY_ID = 512
MAX_OPTION_VALUE = 4096


def refuse_unless(fine: object, why: str) -> None:
    """Raise `SignerError` LIMIT with the reason unless the first argument holds."""
    if not fine:
        raise SignerError(Code.LIMIT, why)


def life(valid_after: int, valid_before: int, limits: CertificateLimits, now: int) -> None:
    """The certificate ends in the future, begins no earlier than `backdate` ago, and is not too long."""
    refuse_unless(valid_before > now, "it would have ended already")
    refuse_unless(valid_after >= now - limits.backdate, f"it would begin more than {limits.backdate} s ago")
    refuse_unless(valid_after < valid_before, "it would end before it begins")
    longest = limits.longest_life
    refuse_unless(valid_before - max(valid_after, now) <= longest, f"it would live longer than {longest} s")
    refuse_unless(valid_before - now <= 2 * longest, "it would begin too far in the future")


def key_id(text: str) -> None:
    """A key id is printable, and short enough for every log line it ends up in."""
    refuse_unless(
        0 < len(text) <= MAX_KEY_ID and text.isprintable(), "the key id is empty, long or unprintable"
    )


def subject_key(blob: bytes) -> None:
    """The key to be certified is a sound one."""
    try:
        public_key.check_subject(blob)
    except Malformed as error:
        raise SignerError(Code.LIMIT, f"the key to be certified is refused: {error}") from error


def user_principals(names: tuple[str, ...], limits: CertificateLimits) -> None:
    """At least one, each a login name, none twice, each allowed."""
    _principals(names, limits, "login name", USER_PRINCIPAL.fullmatch)


def host_principals(names: tuple[str, ...], limits: CertificateLimits) -> None:
    """At least one, each a host name in lower case or an IP address in its canonical form."""
    _principals(names, limits, "host name", lambda name: HOST_NAME.fullmatch(name) or is_address(name))


def _principals(names: tuple[str, ...], limits: CertificateLimits, what: str, form: object) -> None:
    refuse_unless(names, "there is no principal")
    refuse_unless(len(names) <= limits.most_principals, f"more than {limits.most_principals} principals")
    refuse_unless(len(set(names)) == len(names), "a principal is there twice")
    for name in names:
        refuse_unless(form(name), f"{ascii(name)[:80]} is not a {what}")  # type: ignore[operator]
        refuse_unless(limits.allows_name(name), f"the name {name!r} is not allowed here")


def is_address(name: str) -> bool:
    """Whether it is an IP address written canonically."""
    try:
        return str(ipaddress.ip_address(name)) == name
    except ValueError:
        return False


def options(critical: tuple[Option, ...], extensions: tuple[Option, ...], limits: CertificateLimits) -> None:
    """Only allowed ones, none twice, the required ones there, and their values well-formed."""
    _named(critical, limits.critical_options, "critical option")
    _named(extensions, limits.extensions, "extension")
    missing = limits.required_options - {option.name for option in critical if option.value}
    refuse_unless(not missing, f"without {', '.join(sorted(missing))} nothing is signed here")
    for option in critical:
        _critical_value(option)


def _named(given: tuple[Option, ...], allowed: frozenset[str], what: str) -> None:
    names = [option.name for option in given]
    refuse_unless(len(set(names)) == len(names), f"the same {what} twice")
    for option in given:
        refuse_unless(option.name in allowed, f"the {what} {ascii(option.name)[:80]} is not allowed here")
        refuse_unless(len(option.value) <= MAX_OPTION_VALUE, f"the {what} {option.name} is too long")


def _critical_value(option: Option) -> None:
    match option.name:
        case "source-address":
            refuse_unless(_is_networks(option.value), "source-address is not a list of networks")
        case "force-command":
            refuse_unless(option.value and "\x00" not in option.value, "force-command is empty")
        case "verify-required":
            refuse_unless(not option.value, "verify-required is a flag")


@functools.lru_cache(maxsize=256)
def _is_networks(value: str) -> bool:
    try:
        return bool([ipaddress.ip_network(network) for network in value.split(",")])
    except ValueError:
        return False


def x509_names(request: SignX509, limits: CertificateLimits) -> None:
    """A name of the right form for every field, and a reachable name where it is for a server."""
    refuse_unless(request.usages and set(request.usages) <= limits.usages, "that usage is not allowed here")
    fields: tuple[tuple[str, Iterable[str], object], ...] = (
        ("common name", (request.common_name,), X509_NAME.fullmatch),
        ("organisation", request.organisations, X509_NAME.fullmatch),
        ("DNS name", request.dns_names, HOST_NAME.fullmatch),
        ("IP address", request.ip_addresses, is_address),
        ("URI", request.uris, URI.fullmatch),
    )
    for what, names, form in fields:
        for name in names:
            refuse_unless(form(name), f"{ascii(name)[:80]} is not a {what}")  # type: ignore[operator]
    named = (request.common_name, *request.dns_names, *request.ip_addresses)
    for name in named:
        refuse_unless(limits.allows_name(name), f"the name {name!r} is not allowed here")
    server = "server" in request.usages
    refuse_unless(
        not server or request.dns_names or request.ip_addresses, "a server's certificate has no host"
    )
