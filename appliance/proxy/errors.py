"""What can go wrong at the SSH edge, as one family.

ProxyError                     (a SallyportError, so every process knows it)
├── SeamsChanged               the installed asyncssh is not one whose inner seams are known
├── CertificateInvalid         a blob is not an OpenSSH certificate, or not one we would ever take
├── TargetInvalid              a name that a client gave for a node can't be one
└── NodeProblem                the node can't be entered
    ├── NodeUnreachable        it does not answer, or closes while we greet it
    ├── NodeNotTrusted         it answers with a host key that our authority has not certified
    └── NodeRefused            it does not take the session's certificate

The message of each is one short sentence for the person; `NodeProblem.reason` is for the log. That
somebody is refused is no error but a value (`admission.Refused`).
"""

from __future__ import annotations

from appliance.domain.errors import Invalid, SallyportError, Unavailable


class ProxyError(SallyportError):
    """Something at the edge went wrong."""

    code = "proxy"


class SeamsChanged(ProxyError):  # noqa: N818 - these are named for what happened
    """The edge can't run on this version of asyncssh."""


class CertificateInvalid(ProxyError):  # noqa: N818
    """Not a certificate that can be judged."""

    code = Invalid.code
    status = Invalid.status


class TargetInvalid(ProxyError):  # noqa: N818
    """Not the name of a node."""

    code = Invalid.code
    status = Invalid.status


class NodeProblem(ProxyError):  # noqa: N818
    """The node can't be entered; `reason` is what the log hears."""

    code = Unavailable.code
    status = Unavailable.status

    def __init__(self, message: str, *, reason: str) -> None:
        super().__init__(message)
        self.reason = reason


class NodeUnreachable(NodeProblem):
    """No connection, or it broke off before the node knew us."""


class NodeNotTrusted(NodeProblem):
    """The host certificate is missing, foreign, expired or for another name."""


class NodeRefused(NodeProblem):
    """The node did not accept the certificate made for this session."""
