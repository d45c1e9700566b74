"""The signer's work, without sockets and threads: permit, draft, write down, sign, verify, answer.

```
request ─permit→ (table, rate) ─draft→ Draft ─ledger→ entry on the disk ─token→ signature ─verify→ answer
```
`plan` runs where requests come in; it answers at once what needs no token. `execute` runs where the token
is, by way of `signing`.
"""

from __future__ import annotations

import base64
import contextlib
import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from hsm.errors import HsmError, TokenFault
from hsm.naming import KeyName, Namespace
from hsm.provider import PREFERENCE, Algorithm, Attester, KeyInfo, KeyProvider, Probe, Prober
from hsm.secret import Secret
from hsm.signer import drafts, note
from hsm.signer.codec import operation_of
from hsm.signer.drafts import NONCE_SIZE, Draft, Terms
from hsm.signer.limits import CertificateLimits, LimitTable, TokenBucket
from hsm.signer.protocol import (
    Answer,
    Attest,
    AttestationReport,
    Ca,
    Code,
    CreateKey,
    Done,
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
    SignerError,
    SignHostCertificate,
    SignUserCertificate,
    SignX509,
    Status,
    StatusReport,
    Unseal,
)
from hsm.signer.signing import Signing
from hsm.signer.token import Token, refusal_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hsm.signer.ledger import Entry, Ledger

Place = tuple[Ca, int]
Command = CreateKey | Preflight | Attest | Seal | Unseal
TLS_PREFERENCE = (Algorithm.P256, Algorithm.P384, Algorithm.RSA3072, Algorithm.RSA4096, Algorithm.ED25519)
PREFLIGHT_SIGNATURES = 20
_ROLES = frozenset(Ca)
PREFLIGHT_SECONDS = 1.0
PREFLIGHT_TEXT = b"sallyport signer: a signature made to see how long it takes\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks: the name of the socket and the peer's uid, both known from the kernel."""

    name: str
    uid: int

    def __str__(self) -> str:
        return f"{self.name}:{self.uid}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Work that needs the token, on behalf of a caller."""

    caller: Caller
    work: Draft | Command


@dataclass(slots=True)
class Memory:
    """What the ledger says about earlier: the keys, and how far each log had grown."""

    keys: dict[Place, PublicKey] = field(default_factory=dict)
    logs: dict[str, tuple[int, str]] = field(default_factory=dict)

    def see(self, entry: Entry) -> None:
        """Take in an entry of the ledger."""
        fields = entry.fields
        match entry.kind:
            case "key":
                key = PublicKey(
                    ca=Ca(fields["ca"]),
                    generation=fields["generation"],
                    algorithm=Algorithm(fields["algorithm"]),
                    public_key=base64.b64decode(fields["public_key"]),
                )
                self.keys[key.ca, key.generation] = key
            case "checkpoint":
                self.logs[fields["origin"]] = fields["size"], fields["root"]


class Desk:
    """Does what `hsm.signer` is for. `plan` and `execute` may run in two threads, each in one."""

    def __init__(
        self,
        *,
        cluster: str,
        limits: LimitTable,
        token: Token,
        ledger: Ledger,
        memory: Memory,
        clock: Callable[[], float],
        steady: Callable[[], float] = time.monotonic,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._namespace = Namespace(cluster=cluster)
        self._limits = limits
        self._token = token
        self._ledger = ledger
        self._memory = memory
        self._clock = clock
        self._steady = steady
        self._random = random
        self._buckets: dict[tuple[str, Ca], TokenBucket] = {}
        self._signing = Signing(self._namespace, token, ledger, steady)
        self._adopted: KeyProvider | None = None

    @property
    def pace(self) -> float:
        """Seconds that the token takes for a signature lately; a smoothed figure."""
        return self._signing.pace

    # -- where requests come in

    def plan(self, caller: Caller, request: Request, waiting: int = 0, size: int = 0) -> Answer | Task:
        """Permit a request and answer it, or say what the token has to do; raises `SignerError`."""
        self._limits.require_operation(caller.name, operation_of(request))
        match request:
            case PublicKeys():
                return Keys(keys=tuple(self._memory.keys.values()))
            case LedgerHead():
                return self._ledger.head
            case Status():
                return self._status(waiting, size)
            case CreateKey() | Preflight() | Attest() | Seal() | Unseal():
                return Task(caller=caller, work=request)
            case (
                SignUserCertificate()
                | SignHostCertificate()
                | SignX509()
                | SignCaCertificate()
                | SignCheckpoint()
            ):
                return Task(caller=caller, work=self._draft(caller, request))
            case unknown:
                assert_never(unknown)

    def _status(self, waiting: int, size: int) -> StatusReport:
        return StatusReport(
            cluster=self._namespace.cluster,
            state=self._token.state,
            reason=self._token.reason,
            head=self._ledger.head,
            waiting=waiting,
            queue_size=size,
            signatures=self._signing.signatures,
        )

    def _draft(
        self,
        caller: Caller,
        request: SignUserCertificate | SignHostCertificate | SignX509 | SignCaCertificate | SignCheckpoint,
    ) -> Draft:
        if self._token.state == "sealed":
            raise SignerError(Code.SEALED, f"the signer is sealed: {self._token.reason}")
        ca = _ca_of(request)
        limits = self._limits.for_certificates(caller.name, ca)
        key = self._key(ca, request.generation)
        self._take(caller, ca, limits)
        match request:
            case SignUserCertificate():
                return drafts.ssh_user(request, key, self._terms(limits))
            case SignHostCertificate():
                return drafts.ssh_host(request, key, self._terms(limits))
            case SignX509():
                return drafts.x509_leaf(request, key, self._terms(limits))
            case SignCaCertificate():
                return drafts.x509_ca(request, key, self._terms(limits))
            case SignCheckpoint():
                return drafts.checkpoint(request, key)
            case unknown:
                assert_never(unknown)

    def _terms(self, limits: CertificateLimits) -> Terms:
        return Terms(
            limits=limits,
            serial=self._ledger.serials.next(),
            nonce=self._random(NONCE_SIZE),
            now=int(self._clock()),
            cluster=self._namespace.cluster,
        )

    def _key(self, ca: Ca, generation: int) -> PublicKey:
        key = self._memory.keys.get((ca, generation))
        if key is None:
            raise SignerError(Code.NO_KEY, f"the {ca} CA has no key of generation {generation}")
        return key

    def _take(self, caller: Caller, ca: Ca, limits: CertificateLimits) -> None:
        now, place = self._steady(), (caller.name, ca)
        bucket = self._buckets.get(place)
        if bucket is None:
            bucket = self._buckets[place] = TokenBucket(limits.rate, float(limits.rate.burst), now)
        if wait := bucket.take(now):
            raise SignerError(
                Code.RATE, f"more than {limits.rate.per_second:g} {ca} signatures a second", wait=wait
            )

    # -- where the token is

    def execute(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Answer | SignerError]]:
        """Do the tasks and give each one's index and answer as soon as it is there."""
        signing = [(index, task) for index, task in enumerate(tasks) if isinstance(task.work, Draft)]
        if signing:
            yield from self._sign_all(signing)
        for index, task in enumerate(tasks):
            if not isinstance(task.work, Draft):
                yield index, self._answer(task.caller, task.work)

    def _sign_all(self, tasks: list[tuple[int, Task]]) -> Iterator[tuple[int, Answer | SignerError]]:
        kept = list[tuple[int, Draft, str]]()
        try:
            provider = self._ready()
            for index, task in tasks:
                if isinstance(task.work, Draft):
                    if shrunk := self._shrunk(task.work):
                        yield index, SignerError(Code.LIMIT, shrunk)
                    else:
                        kept.append((index, task.work, str(task.caller)))
            entered = self._signing.enter(kept)
        except HsmError as error:
            refused = {index for index, _, _ in kept} or {index for index, _ in tasks}
            yield from ((index, refusal_of(error)) for index in refused)
            return
        yield from self._signing.sign(provider, entered)

    def _shrunk(self, draft: Draft) -> str:
        """Say what is wrong with a checkpoint of a log that went back, and remember the one that did not."""
        if draft.kind != "checkpoint":
            return ""
        origin, size, root = draft.entry["origin"], draft.entry["size"], draft.entry["root"]
        last_size, last_root = self._memory.logs.get(origin, (-1, ""))
        if size < last_size or (size == last_size and root != last_root):
            return f"the log {origin} was signed at size {last_size} already, with another history"
        self._memory.logs[origin] = size, root
        return ""

    def _ready(self) -> KeyProvider:
        """Return the provider; the first time after it was opened, look at its keys."""
        provider = self._token.provider()
        if provider is not self._adopted:
            self._adopt(provider)
            self._adopted = provider
        return provider

    def open_token(self) -> None:
        """Open the token if a PIN was given at the start; call it once before the first request.

        A token that cannot be opened now is no error: the state says why.
        """
        if self._token.state != "sealed":
            with contextlib.suppress(HsmError):  # kept as the token's reason, and told to who asks
                self._ready()

    def close(self) -> None:
        """Log out and let go of the ledger."""
        self._signing.close()
        self._token.seal("the signer stopped")
        self._ledger.close()

    def _adopt(self, provider: KeyProvider) -> None:
        """Write down keys that the ledger does not know; refuse a token whose keys are not ours."""
        fresh = list[PublicKey]()
        for info in provider.list():
            if self._namespace.parse(info.label).role not in _ROLES:
                continue  # of our range, and for something that this version does not know: left alone
            key = self._placed(info)
            known = self._memory.keys.get((key.ca, key.generation))
            if known is None:
                fresh.append(key)
            elif known.public_key != key.public_key:
                self._token.seal(
                    f"the token holds another {key.ca} key {key.generation} than the ledger knows"
                )
                raise TokenFault(self._token.reason)
        self._remember(fresh, "found")

    def _placed(self, info: KeyInfo) -> PublicKey:
        name = self._namespace.parse(info.label)
        return PublicKey(
            ca=Ca(name.role), generation=name.generation, algorithm=info.algorithm, public_key=info.public_key
        )

    def _remember(self, keys: list[PublicKey], how: str) -> None:
        entries = [("key", {"how": how, **_key_fields(key)}) for key in keys]
        if entries:
            self._ledger.append(entries)
        self._memory.keys = {**self._memory.keys, **{(key.ca, key.generation): key for key in keys}}

    def _answer(self, caller: Caller, command: Command) -> Answer | SignerError:
        try:
            match command:
                case CreateKey():
                    return Keys(keys=(self._create(command),))
                case Preflight():
                    return self._preflight()
                case Attest():
                    return self._attest(command)
                case Seal():
                    return self._seal(caller)
                case Unseal():
                    return self._unseal(caller, command)
                case unknown:
                    assert_never(unknown)
        except HsmError as error:
            return refusal_of(error)

    def _create(self, command: CreateKey) -> PublicKey:
        provider = self._ready()
        if (command.ca, command.generation) in self._memory.keys:
            raise SignerError(Code.KEY_EXISTS, f"the {command.ca} CA has a key {command.generation} already")
        label = self._namespace.label(KeyName(role=command.ca, generation=command.generation))
        key = self._placed(
            provider.create(label, command.algorithm or _choose_algorithm(command.ca, provider))
        )
        self._remember([key], "made")
        return key

    def _attest(self, command: Attest) -> AttestationReport:
        provider, key = self._ready(), self._key(command.ca, command.generation)
        if not isinstance(provider, Attester):
            raise SignerError(Code.UNSUPPORTED, "the token attests nothing")
        found = provider.attest(self._signing.label(key))
        return AttestationReport(kind=found.kind, statement=found.statement, certificates=found.certificates)

    def _seal(self, caller: Caller) -> Done:
        self._ledger.append([("seal", {"by": str(caller)})])
        self._token.seal(f"sealed by {caller}")
        self._adopted = None
        return Done()

    def _unseal(self, caller: Caller, command: Unseal) -> Done:
        if self._token.state != "open":
            self._ledger.append([("unseal", {"by": str(caller)})])
            self._token.unseal(Secret(command.pin))
        self._ready()
        return Done()

    def _preflight(self) -> PreflightReport:
        provider = self._ready()
        if not isinstance(provider, Prober):
            raise SignerError(Code.UNSUPPORTED, "the token cannot be looked at")
        probe = provider.probe()
        return PreflightReport(
            model=probe.model,
            serial=probe.serial,
            firmware=probe.firmware,
            hardware=probe.hardware,
            mechanisms=probe.mechanisms,
            algorithms=probe.algorithms,
            free_slots=probe.free_slots,
            pin_tries_left=probe.pin_tries_left,
            signatures_per_second=self._measure(provider),
            notes=probe.notes,
            problems=tuple(self._problems(provider, probe)),
        )

    def _problems(self, provider: KeyProvider, probe: Probe) -> Iterator[str]:
        if not probe.algorithms:
            yield "the token has none of the algorithms that are used here"
        if probe.pin_tries_left is not None and probe.pin_tries_left <= 1:
            yield f"the token has {probe.pin_tries_left} PIN tries left"
        if probe.free_slots is not None and probe.free_slots < len(Ca):
            yield f"the token has {probe.free_slots} free places; a rotation of all keys needs {len(Ca)}"
        there = {info.label for info in provider.list()}
        for key in self._memory.keys.values():
            if self._signing.label(key) not in there:
                yield f"the {key.ca} key {key.generation} is not on the token"

    def _measure(self, provider: KeyProvider) -> int:
        """Time some signatures over a text that is no certificate and no checkpoint."""
        key = max((place for place in self._memory.keys if place[0] is Ca.AUDIT), default=None)
        if key is None:
            return 0
        label, begin, made = self._signing.label(self._memory.keys[key]), self._steady(), 0
        while made < PREFLIGHT_SIGNATURES and self._steady() - begin < PREFLIGHT_SECONDS:
            provider.sign(label, PREFLIGHT_TEXT + self._random(NONCE_SIZE))
            made += 1
        return round(made / max(self._steady() - begin, 1e-6))


def _key_fields(key: PublicKey) -> dict[str, Any]:
    return {
        "ca": key.ca,
        "generation": key.generation,
        "algorithm": key.algorithm,
        "public_key": base64.b64encode(key.public_key).decode(),
    }


def _ca_of(
    request: SignUserCertificate | SignHostCertificate | SignX509 | SignCaCertificate | SignCheckpoint,
) -> Ca:
    match request:
        case SignUserCertificate():
            return request.ca
        case SignHostCertificate():
            return Ca.HOST
        case SignX509() | SignCaCertificate():
            return Ca.TLS
        case SignCheckpoint():
            return Ca.AUDIT
        case unknown:
            assert_never(unknown)


def _choose_algorithm(ca: Ca, provider: KeyProvider) -> Algorithm:
    """Return the first algorithm of the CA's preference that the token has."""
    order = {Ca.TLS: TLS_PREFERENCE, Ca.AUDIT: note.PREFERENCE}.get(ca, PREFERENCE)
    offered = provider.probe().algorithms if isinstance(provider, Prober) else tuple(Algorithm)
    for algorithm in order:
        if algorithm in offered:
            return algorithm
    raise SignerError(Code.UNSUPPORTED, f"the token has no algorithm for the {ca} key")
