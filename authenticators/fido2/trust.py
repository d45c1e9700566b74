"""Certificate chains of attestation statements and metadata: from a leaf to a given root.

This is not the web's PKI: roots come from configuration or metadata, a root may be the leaf itself, names
are those of makers. So the path is built here, from at most six certificates that were handed over
together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

_LONGEST_PATH: Final = 6


class ChainError(Exception):
    """The chain does not reach a root that was given; `expired` tells that only its dates are wrong."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


def read_certificates(pem: bytes) -> tuple[bytes, ...]:
    """Return the certificates in a PEM file as DER, in order; raises ValueError when there is none."""
    return tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(pem))


def load_certificate(der: bytes) -> x509.Certificate:
    """Return the certificate of its DER form; raises `ChainError`."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.public_key()
    except (ValueError, TypeError, x509.InvalidVersion, UnsupportedAlgorithm) as error:
        message = "a certificate, or its key, cannot be read"
        raise ChainError(message) from error
    return certificate


def verify_chain(path: Sequence[bytes], roots: Iterable[bytes], *, moment: datetime) -> bytes:
    """Return the root (DER) that the path (DER, leaf first) leads to, each certificate valid at `moment`.

    A leaf that is itself among the roots is trusted as it stands (FIDO Metadata Statement §4,
    attestationRootCertificates). Raises `ChainError`.
    """
    anchors = tuple(roots)
    if not 0 < len(path) <= _LONGEST_PATH:
        message = "a chain has 1 to 6 certificates"
        raise ChainError(message)
    certificates = [load_certificate(der) for der in path]
    position = 0
    while path[position] not in anchors:
        _check_dates(certificates[position], moment)
        following = certificates[position + 1 : position + 2]
        if not following or not _is_issued_by(certificates[position], following[0]):
            return _anchor_of(certificates[position], anchors, moment)
        position += 1
    _check_dates(certificates[position], moment)
    return path[position]


def _anchor_of(certificate: x509.Certificate, anchors: Iterable[bytes], moment: datetime) -> bytes:
    for der in anchors:
        anchor = load_certificate(der)
        if _is_issued_by(certificate, anchor):
            _check_dates(anchor, moment)
            return der
    message = "the chain leads to no root that is trusted"
    raise ChainError(message)


def _is_issued_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return _may_issue(issuer)


def _may_issue(issuer: x509.Certificate) -> bool:
    """Tell whether the issuer is a CA. Old self-signed roots do not say so, and are believed."""
    try:
        return issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return issuer.issuer == issuer.subject
    except ValueError:
        return False


def _check_dates(certificate: x509.Certificate, moment: datetime) -> None:
    if not certificate.not_valid_before_utc <= moment <= certificate.not_valid_after_utc:
        message = "a certificate is not valid at that time"
        raise ChainError(message, expired=True)
