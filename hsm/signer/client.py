"""The typed client of the signer: thread-safe, with a few connections that it keeps and renews.

Every "no" is a `SignerError` with a code. A signer that is away, was restarted, or does not answer in
time gives UNAVAILABLE, which is retryable; the next call connects anew. A signing request is never
sent twice by itself, since the first one may have been signed.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import TYPE_CHECKING, TypeVar

from hsm.errors import Malformed
from hsm.signer import codec
from hsm.signer.protocol import (
    Answer,
    Attest,
    AttestationReport,
    Ca,
    Code,
    CreateKey,
    Done,
    Head,
    Issued,
    Keys,
    LedgerHead,
    Preflight,
    PreflightReport,
    PublicKey,
    PublicKeys,
    Request,
    Seal,
    SignCaCertificate,
    SignCheckpoint,
    SignedNote,
    SignerError,
    SignHostCertificate,
    SignUserCertificate,
    SignX509,
    Status,
    StatusReport,
    Unseal,
)

if TYPE_CHECKING:
    from pathlib import Path

    from hsm.provider import Algorithm
    from hsm.secret import Secret

Wanted = TypeVar("Wanted", bound=Answer)
KEPT_CONNECTIONS = 4


class _Connection:
    """One connection, used by one thread at a time."""

    def __init__(self, path: Path, timeout: float) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(timeout)
        self._deframer = codec.Deframer()
        self._number = 0
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise

    def ask(self, request: Request) -> Answer | SignerError:
        """Send a request and wait for its answer; raises OSError, `Malformed`."""
        self._number += 1
        with contextlib.suppress(
            BrokenPipeError
        ):  # it hung up on us, and what it said before is there to be read
            self._socket.sendall(codec.write_request(self._number, request))
        payloads = list[bytes]()
        while not payloads:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("the signer closed the connection")
            payloads = self._deframer.feed(data)
        number, answer = codec.read_answer(payloads[0], type(request))
        if number not in {0, self._number}:
            raise Malformed("an answer to another question")
        return answer

    def is_open(self) -> bool:
        """Whether the other side has neither closed nor said anything unasked."""
        # Not recv with MSG_DONTWAIT: a Python socket with a time-out waits for it all the same.
        waiting = select.poll()  # not select: a busy process has descriptors beyond its 1024
        waiting.register(self._socket, select.POLLIN)
        return not waiting.poll(0)

    def close(self) -> None:
        self._socket.close()


class SignerClient:
    """Speaks to the signer through one of its sockets. `timeout` is seconds for a whole answer."""

    def __init__(self, path: Path, *, timeout: float = 15.0) -> None:
        self._path = path
        self._timeout = timeout
        self._idle: list[_Connection] = []
        self._lock = threading.Lock()

    # -- what may be asked

    def public_keys(self) -> tuple[PublicKey, ...]:
        """Return all public keys; works while sealed."""
        return self._ask(PublicKeys(), Keys).keys

    def create_key(self, ca: Ca, generation: int, algorithm: Algorithm | None = None) -> PublicKey:
        """Make a key; raises `SignerError` KEY_EXISTS."""
        return self._ask(CreateKey(ca=ca, generation=generation, algorithm=algorithm), Keys).keys[0]

    def ensure_key(self, ca: Ca, generation: int, algorithm: Algorithm | None = None) -> PublicKey:
        """Return the key of that place, made now if it is not there; safe to call from several sides."""
        if found := self._find(ca, generation):
            return found
        try:
            return self.create_key(ca, generation, algorithm)
        except SignerError as error:
            found = self._find(ca, generation)
            if error.code is not Code.KEY_EXISTS or found is None:
                raise
            return found

    def _find(self, ca: Ca, generation: int) -> PublicKey | None:
        keys = self.public_keys()
        return next((key for key in keys if (key.ca, key.generation) == (ca, generation)), None)

    def sign_user_certificate(self, request: SignUserCertificate) -> Issued:
        """Return a user certificate of the `user` or `openssh` CA (SSH wire form)."""
        return self._ask(request, Issued)

    def sign_host_certificate(self, request: SignHostCertificate) -> Issued:
        """Return a host certificate (SSH wire form)."""
        return self._ask(request, Issued)

    def sign_x509(self, request: SignX509) -> Issued:
        """Return an end-entity certificate (DER)."""
        return self._ask(request, Issued)

    def sign_ca_certificate(self, request: SignCaCertificate) -> Issued:
        """Return the self-signed certificate of the X.509 CA (DER)."""
        return self._ask(request, Issued)

    def sign_checkpoint(self, generation: int, note: str) -> SignedNote:
        """Return the signed note of a checkpoint of the audit log."""
        return self._ask(SignCheckpoint(generation=generation, note=note), SignedNote)

    def status(self) -> StatusReport:
        """Return how the signer is; works while sealed."""
        return self._ask(Status(), StatusReport)

    def ledger_head(self) -> Head:
        """Return the ledger's last entry, to be anchored."""
        return self._ask(LedgerHead(), Head)

    def preflight(self) -> PreflightReport:
        """Return what the token has, and what would go wrong."""
        return self._ask(Preflight(), PreflightReport)

    def attest(self, ca: Ca, generation: int) -> AttestationReport:
        """Return where a key was made."""
        return self._ask(Attest(ca=ca, generation=generation), AttestationReport)

    def seal(self) -> None:
        """Make the signer forget its PIN."""
        self._ask(Seal(), Done)

    def unseal(self, pin: Secret) -> None:
        """Hand over the PIN; raises `SignerError` PIN_REFUSED, PIN_LOCKED, TOKEN_GONE."""
        self._ask(Unseal(pin=pin.reveal_text()), Done)

    def close(self) -> None:
        """Close the connections that are kept."""
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    # -- how it is asked

    def _ask(self, request: Request, wanted: type[Wanted]) -> Wanted:
        answer = self._exchange(request)
        if isinstance(answer, SignerError):
            raise answer
        if not isinstance(answer, wanted):
            raise SignerError(Code.UNAVAILABLE, "the signer speaks another version of the protocol")
        return answer

    def _exchange(self, request: Request) -> Answer | SignerError:
        try:
            connection = self._take()
        except OSError as error:
            raise SignerError(Code.UNAVAILABLE, f"the signer cannot be reached: {error}", wait=1.0) from error
        try:
            answer = connection.ask(request)
        except TimeoutError as error:
            connection.close()
            raise SignerError(Code.UNAVAILABLE, f"no answer within {self._timeout:g} s", wait=1.0) from error
        except OSError as error:
            connection.close()
            raise SignerError(Code.UNAVAILABLE, f"the signer went away: {error}", wait=1.0) from error
        except (Malformed, ValueError, KeyError, TypeError) as error:
            connection.close()
            raise SignerError(Code.UNAVAILABLE, "the signer's answer is not understood") from error
        self._keep(connection)
        return answer

    def _take(self) -> _Connection:
        """Return a connection that is still open, an idle one before a new one."""
        while True:
            with self._lock:
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return _Connection(self._path, self._timeout)
            if connection.is_open():
                return connection
            connection.close()

    def _keep(self, connection: _Connection) -> None:
        with self._lock:
            if len(self._idle) < KEPT_CONNECTIONS:
                self._idle.append(connection)
                return
        connection.close()
