"""From drafts to answers: in the ledger, signed, verified, linted again; or void.

All entries of a batch are on the disk before its first signature is made. With a fast token signatures are
verified beside the making of the next ones; with a slow one nothing would be gained, and each answer
leaves at once. An entry that comes to nothing gets a `void` line.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hsm.encoding.signature import Signature
from hsm.errors import HsmError, TokenFault
from hsm.naming import KeyName, Namespace
from hsm.signer.drafts import Draft
from hsm.signer.protocol import Answer, SignerError
from hsm.signer.token import Token, refusal_of
from hsm.signer.verifying import Verifying

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from hsm.provider import KeyProvider
    from hsm.signer.ledger import Ledger
    from hsm.signer.protocol import PublicKey

MIN_PACE = 1e-6
FAST_PACE = 0.0005
"""Seconds of a token call; from there on nothing is gained by verifying beside it."""


@dataclass(frozen=True, slots=True)
class Entered:
    """A draft whose entry is in the ledger: its place in the batch, and the entry's number."""

    index: int
    draft: Draft
    number: int


@dataclass(frozen=True, slots=True)
class _Signed:
    """What the token made of it; nobody outside sees it before it is checked."""

    entered: Entered
    signature: Signature

    @property
    def key(self) -> bytes:
        """The public key that has to have made it."""
        return self.entered.draft.key.public_key

    @property
    def message(self) -> bytes:
        """What was to be signed."""
        return self.entered.draft.to_be_signed


class Signing:
    """Signs for the desk, in the thread that has the token."""

    def __init__(
        self, namespace: Namespace, token: Token, ledger: Ledger, steady: Callable[[], float]
    ) -> None:
        self._namespace = namespace
        self._token = token
        self._ledger = ledger
        self._steady = steady
        self._verifying = Verifying()
        self.signatures = 0
        self.pace = 1.0
        """Seconds that the token takes for a signature lately; a smoothed figure."""

    def enter(self, drafts: Sequence[tuple[int, Draft, str]]) -> list[Entered]:
        """Write down drafts, each with its index and who asks; raises `SignerError` LEDGER."""
        numbers = self._ledger.append([(draft.kind, {"by": by, **draft.entry}) for _, draft, by in drafts])
        return [
            Entered(index, draft, number) for (index, draft, _), number in zip(drafts, numbers, strict=True)
        ]

    def sign(
        self, provider: KeyProvider, batch: Sequence[Entered]
    ) -> Iterator[tuple[int, Answer | SignerError]]:
        """Sign what was entered and give each one's index and answer."""
        if len(batch) > 1 and self.pace < FAST_PACE:
            yield from self._sign_beside(provider, batch)
            return
        for entered in batch:
            yield entered.index, self._sign(provider, entered)

    def label(self, key: PublicKey) -> str:
        """Return what a key is called on the token."""
        return self._namespace.label(KeyName(role=key.ca, generation=key.generation))

    def close(self) -> None:
        """Let the verifying process end."""
        self._verifying.close()

    def _sign_beside(
        self, provider: KeyProvider, batch: Sequence[Entered]
    ) -> Iterator[tuple[int, Answer | SignerError]]:
        failed = list[tuple[int, Answer | SignerError]]()

        def making() -> Iterator[_Signed]:
            for entered in batch:
                try:
                    yield self._make(provider, entered)
                except HsmError as error:
                    failed.append((entered.index, self._failed(entered, error)))

        for signed, verifies in self._verifying.beside(making()):
            yield signed.entered.index, self._finish(signed, verifies=verifies)
        yield from failed

    def _sign(self, provider: KeyProvider, entered: Entered) -> Answer | SignerError:
        try:
            signed = self._make(provider, entered)
            verifies = self._verifying.verifies(signed)
        except HsmError as error:
            return self._failed(entered, error)
        return self._finish(signed, verifies=verifies)

    def _make(self, provider: KeyProvider, entered: Entered) -> _Signed:
        begin = self._steady()
        made = provider.sign(self.label(entered.draft.key), entered.draft.to_be_signed)
        self.pace += (max(self._steady() - begin, MIN_PACE) - self.pace) / 8
        return _Signed(entered, made)

    def _finish(self, signed: _Signed, *, verifies: bool) -> Answer | SignerError:
        try:
            if not verifies:
                raise TokenFault("the token's signature does not verify; it was thrown away")
            answer = signed.entered.draft.finish(signed.signature, signed.entered.number)
        except HsmError as error:
            return self._failed(signed.entered, error)
        self._token.heard(None)
        self.signatures += 1
        return answer

    def _failed(self, entered: Entered, error: HsmError) -> SignerError:
        self._token.heard(error)
        with contextlib.suppress(SignerError):  # the caller hears of the first failure in any case
            self._ledger.append([("void", {"entry": entered.number, "why": str(error)})])
        return refusal_of(error)
