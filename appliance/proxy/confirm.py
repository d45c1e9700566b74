"""The second factor of a session, asked for on the terminal of whatever client there is (mission row X1).

    only the browser can confirm    no prompt: the address is shown, and the waiting login goes on by itself
    a code can be typed too         one prompt: a code, or Enter after confirming in the browser

A prompt that is open can't be taken back (RFC 4256 section 3.1; OpenSSH sits in its read), which is why
there is none where none is needed. Everything is ASCII, and the address stands in the prompt as well,
because `-q` hides everything else.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.domain.decision import Factor
from appliance.domain.operations.ssh import AccessRefused, MoreProof, ProofAnswer, SessionApproved
from appliance.proxy.person import Admission, PersonConnection, Question, Refused

if TYPE_CHECKING:
    from asyncssh.public_key import SSHKey

    from appliance.proxy.inner import Asking, NodeDoorway

TYPED = frozenset({Factor.TOTP, Factor.HOTP, Factor.YUBICO_OTP, Factor.RECOVERY_CODE})
POLL = 1.0
"""Seconds between two looks whether it was confirmed in the browser."""
REMIND = 10.0
"""Seconds between two lines that tell that we are still waiting."""
TRIES = 3
"""Codes that one connection may try."""
MAX_CODE = 128
WAITING = "Not confirmed yet, waiting..."


class Confirmation:
    """One conversation, from the first question to the decision."""

    def __init__(self, doorway: NodeDoorway, asking: Asking, more: MoreProof) -> None:
        self._doorway, self._asking, self._more = doorway, asking, more
        self._tries = 0
        self._waits = False
        limit = min(doorway.edge.limits.confirm_grace, more.expires_in_seconds)
        self._until = asyncio.get_running_loop().time() + limit

    @property
    def seconds(self) -> float:
        """See `Check.seconds`."""
        return max(1.0, self._until - asyncio.get_running_loop().time())

    @property
    def _takes_codes(self) -> bool:
        return bool(TYPED & set(self._more.factors))

    def question(self) -> Question:
        """See `Check.question`."""
        self._waits = not self._takes_codes
        prompts = ((self._prompt(), False),) if self._takes_codes else ()
        return Question(self._title() + "\n", self._instruction(), prompts)

    def _title(self) -> str:
        cluster = self._doorway.edge.trust.cluster
        return f"Confirmation needed for {self._asking.login}@{self._asking.node}.{cluster}"

    def _instruction(self) -> str:
        lines = [self._more.message] if self._more.message else []
        if self._more.url:
            lines.append(f"Confirm at {self._more.url}")
        if self._more.url and self._more.matching:
            lines.append(f"The page shows the code {self._more.matching}")
        return "\n".join(lines)

    def _prompt(self) -> str:
        if self._more.url:
            return f"Code, or Enter after confirming at {self._more.url} : "
        return "Code: "

    async def answered(self, person: PersonConnection, responses: tuple[str, ...]) -> Question | Admission:
        """See `Check.answered`."""
        if self._waits:
            return await self._wait(person)
        code = responses[0].strip() if len(responses) == 1 else ""
        if len(code) > MAX_CODE or not code.isascii():
            code = "?"
        if not code and not self._more.url:
            return Refused("a code is needed")
        return await self._try(person, code)

    async def _try(self, person: PersonConnection, code: str) -> Question | Admission:
        key, answer = await self._ask(code)
        if not isinstance(answer, MoreProof):
            return await self._decided(person, key, answer)
        self._more = replace(answer, url=answer.url or self._more.url)
        if not code:
            self._waits = True
            return Question("", WAITING)
        self._tries += 1
        return self.question() if self._tries < TRIES else Refused("too many wrong codes", final=True)

    async def _wait(self, person: PersonConnection) -> Admission:
        """Look again and again; the client shows our lines, and goes on without a key being pressed."""
        loop = asyncio.get_running_loop()
        remind = loop.time() + REMIND
        while loop.time() < self._until and not person.is_closed():
            key, answer = await self._ask("")
            if not isinstance(answer, MoreProof):
                return await self._decided(person, key, answer)
            if loop.time() >= remind:
                remind = loop.time() + REMIND
                person.say(f"sallyport: waiting for confirmation, {int(self.seconds)} s left")
            await asyncio.sleep(POLL)
        return Refused("it was not confirmed in time", final=True)

    async def _ask(self, code: str) -> tuple[SSHKey, SessionApproved | MoreProof | AccessRefused]:
        answer = ProofAnswer(challenge=self._more.challenge, code=code)
        return await replace(self._asking, answers=(answer,)).ask()

    async def _decided(
        self, person: PersonConnection, key: SSHKey, answer: SessionApproved | AccessRefused
    ) -> Admission:
        if isinstance(answer, AccessRefused):
            return Refused(answer.message, final=True)
        # Further channels of this connection name the challenge that was met; the code is spent
        met = ProofAnswer(challenge=self._more.challenge)
        return await self._doorway.enter(person, replace(self._asking, answers=(met,)), key, answer)
