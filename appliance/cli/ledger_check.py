"""The signer's ledger against the register of certificates: each difference in a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.domain.operations import custody
from appliance.roles.layout import Layout
from hsm.signer.ledger import IssuedCertificate, compare_with_register, verify_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.cli.console import Console

PAGE = 1000


def differences(console: Console) -> tuple[str, ...]:
    """Return what is wrong with the chain, and every certificate that only one of the two has."""
    config = console.config
    path, cluster = Layout(config.data_dir).ledger, config.auth_service.cluster_name
    head = console.signer.ledger_head()
    verdict = verify_ledger(path, cluster, (head,))
    register = (
        IssuedCertificate(serial=int(one.serial), ca=str(one.authority), signed_sha256=one.signed_digest)
        for one in _register(console)
    )
    compared = compare_with_register(path, cluster, register)
    return tuple(str(one) for one in (*verdict.differences, *compared))


def _register(console: Console) -> Iterator[custody.CertificateView]:
    after = "0"
    while True:
        query = custody.CertificatesQuery(after_serial=after, limit=PAGE)
        page: custody.CertificateList = console.call("certificates.list", query)
        yield from page.certificates
        if len(page.certificates) < PAGE:
            return
        after = page.certificates[-1].serial
