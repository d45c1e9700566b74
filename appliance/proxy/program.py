"""One program on a session channel: shell, command or subsystem, with its recording and its facts."""

from __future__ import annotations

import asyncio
import functools
import logging
from typing import TYPE_CHECKING

from appliance.domain.errors import SallyportError
from appliance.proxy import requests
from appliance.proxy.errors import CertificateInvalid
from appliance.proxy.files.scp import ScpWatcher
from appliance.proxy.files.sftp import SftpWatcher
from appliance.proxy.relay import Hold
from appliance.proxy.wire import Reader
from appliance.recording import frames
from appliance.recording.errors import RecorderFailed
from appliance.recording.events import FileMoved, FileVerb, shown
from appliance.recording.frames import Environment, Exec, ExitSignal, ExitStatus, Happened

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.proxy.fast.channel import Answer
    from appliance.proxy.relay import Pipe
    from appliance.proxy.session import Session

log = logging.getLogger(__name__)
MAX_LOGGED = 4096
"""Characters of a command that go into the log; the recording has all of it."""
MAX_UNLOGGED = 1024
"""Facts that may wait for the log before a transfer has to."""
RESIZE_EVERY = 0.5
"""Seconds between two lines in the log about the size of a terminal."""
MAX_HELD = 64
"""Requests that may come while the program is being started."""
PROGRAMS = {
    requests.Program.SHELL: frames.Program.SHELL,
    requests.Program.EXEC: frames.Program.COMMAND,
    requests.Program.SUBSYSTEM: frames.Program.SUBSYSTEM,
}


class Program:
    """The watch of one session channel."""

    def __init__(self, session: Session, *, on_over: Callable[[Program], None]) -> None:
        self.session = session
        self.pipe: Pipe | None = None
        self._on_over = on_over
        self._terminal = requests.Terminal("", 0, 0)
        self._variables: list[requests.Variable] = []
        self._run: requests.Run | None = None
        self._starting = False
        self._held: list[tuple[str, bytes, asyncio.Future[bool] | None]] = []
        self._size: tuple[int, int] | None = None
        self._exit_code: int | None = None
        self._exit_error = ""
        self._sftp: SftpWatcher | None = None
        self._scp: ScpWatcher | None = None

    # Bytes

    def from_person(self, data: bytes) -> bool:
        """See `Watch.from_person`."""
        self.session.touch()
        recorder = self.session.recorder
        if self._sftp is not None:
            data = self._sftp.feed_person(data)
        elif self._scp is not None:
            self._scp.feed_person(data)
        if recorder is None or not data:
            return not self.session.reason
        return self._recorded(recorder.input, data)

    def from_node(self, data: bytes, *, error: bool) -> bool:
        """See `Watch.from_node`."""
        recorder = self.session.recorder
        if error:
            return recorder is None or self._recorded(recorder.error_output, data)
        if self._sftp is not None:
            data = self._sftp.feed_node(data)
        elif self._scp is not None:
            self._scp.feed_node(data)
        if recorder is None or not data:
            return not self.session.reason
        return self._recorded(recorder.output, data)

    def _moved(self, event: FileMoved) -> None:
        """A file has passed: tell the recording and the log."""
        self._record(Happened(event))
        if event.verb is FileVerb.LIST and event.ok:
            return
        fields: dict[str, str | int | bool] = {
            "path": shown(event.path)[:MAX_LOGGED],
            "len": event.size,
            "action": event.verb.value,
            "ok": event.ok,
        }
        if event.sha256 is not None and event.verb in {FileVerb.READ, FileVerb.WRITE}:
            fields["sha256"] = event.sha256
        if event.target is not None:
            fields["target"] = shown(event.target)[:MAX_LOGGED]
        if event.reason:
            fields["reason"] = event.reason
        self.session.tell(event.protocol, **fields)
        if self.session.edge.reporter.waiting > MAX_UNLOGGED and self.pipe is not None:
            self.pipe.hold(Hold.LOG_IS_FULL)
            self.session.edge.tasks.start(self._log_drained(self.pipe))

    async def _log_drained(self, pipe: Pipe) -> None:
        await self.session.edge.reporter.flushed()
        pipe.release(Hold.LOG_IS_FULL)

    def _recorded(self, record: Callable[[bytes], None], data: bytes) -> bool:
        try:
            record(data)
        except RecorderFailed as error:
            self.session.failed(error)
            return False
        recorder = self.session.recorder
        if recorder is not None and recorder.full and self.pipe is not None:
            self.pipe.hold(Hold.RECORDER_IS_FULL)
        return True

    def person_done(self) -> None:
        """See `Watch.person_done`."""
        self.session.touch()

    # Requests

    def person_asks(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """See `Watch.person_asks`. What comes while the program is being started waits for it."""
        if self._starting:
            return self._hold(name, payload, want_reply=want_reply)
        verdict = requests.judge(name, payload, self.session.permits)
        match verdict:
            case requests.Refuse(reason):
                log.debug("session %s: %s is refused: %s", self.session.id, name, reason)
                return False
            case requests.Run():
                return self._begin(verdict)
            case requests.Terminal():
                self._terminal = verdict
            case requests.Variable():
                self._variables.append(verdict)
            case requests.Resized(columns, rows):
                self._resized(columns, rows)
            case requests.HandOn():
                pass
        return self._hand_on(name, payload, want_reply=want_reply)

    def _hold(self, name: str, payload: bytes, *, want_reply: bool) -> Answer:
        if len(self._held) >= MAX_HELD:
            return False
        future: asyncio.Future[bool] | None = None
        if want_reply:
            future = asyncio.get_running_loop().create_future()
        self._held.append((name, payload, future))
        return future if future is not None else True

    def _release_held(self) -> None:
        held, self._held = self._held, []
        for name, payload, future in held:
            answer = self.person_asks(name, payload, future is not None)
            if future is None:
                continue
            if isinstance(answer, asyncio.Future):
                answer.add_done_callback(functools.partial(_pass_on, future))
            elif not future.done():
                future.set_result(answer)

    def _hand_on(self, name: str, payload: bytes, *, want_reply: bool) -> Answer:
        node = self.pipe.node.channel if self.pipe is not None else None
        if node is None:
            return False
        return node.request(name, payload, want_reply=want_reply) or True

    def _resized(self, columns: int, rows: int) -> None:
        if self.session.recorder is not None:
            self._recorded(lambda _: self.session.resized(columns, rows), b"")
        loop = asyncio.get_running_loop()
        if self._size is None:
            loop.call_later(RESIZE_EVERY, self._tell_size)
        self._size = (columns, rows)

    def _tell_size(self) -> None:
        """Log the last size of the last while: the recording has all of them."""
        size, self._size = self._size, None
        if size is not None and self.pipe is not None and self.pipe in self.session.pipes:
            self.session.tell("resize", size=f"{size[0]}:{size[1]}")

    # Beginning

    def _begin(self, run: requests.Run) -> Answer:
        if self._run is not None:
            return False
        self._run, self._starting = run, True
        return self.session.edge.tasks.start(self._start(run))

    async def _start(self, run: requests.Run) -> bool:
        """Open the recording, tell the log, then let the node begin; only then may bytes pass."""
        try:
            await self.session.record(
                term=self._terminal.term, columns=self._terminal.columns, rows=self._terminal.rows
            )
            self._record_beginning(run)
            if run.program is requests.Program.SUBSYSTEM:
                await self.session.log("subsystem", name=_shown(run.command))
        except RecorderFailed as error:
            self.session.failed(error)
            return False
        except SallyportError as error:
            log.error("session %s: the log does not take its beginning: %s", self.session.id, error)  # noqa: TRY400
            self.session.end("the session can't be logged, so it ends")
            return False
        return await self._let_begin(run)

    def _watch_files(self, run: requests.Run) -> None:
        if run.program is requests.Program.SUBSYSTEM and run.command == requests.SFTP:
            self._sftp = SftpWatcher(self._moved)
        elif run.program is requests.Program.EXEC and not self._terminal.term:
            self._scp = ScpWatcher(self._moved)

    async def _let_begin(self, run: requests.Run) -> bool:
        self._watch_files(run)
        answer = self._hand_on(run.name, run.payload, want_reply=True)
        self._starting = False
        self._release_held()
        if self.pipe is not None:
            self.pipe.begin()
        return bool(await answer) if isinstance(answer, asyncio.Future) else answer

    def _record_beginning(self, run: requests.Run) -> None:
        recorder = self.session.recorder
        if recorder is None:
            return
        for variable in self._variables:
            recorder.record(Environment(variable.name, variable.value))
        recorder.record(Exec(PROGRAMS[run.program], run.command))

    # The node's words

    def node_asks(self, name: str, payload: bytes, want_reply: bool) -> Answer:  # noqa: FBT001
        """See `Watch.node_asks`."""
        if name not in requests.FROM_NODE:
            return False
        self._note_exit(name, payload)
        person = self.pipe.person.channel if self.pipe is not None else None
        if person is None:
            return False
        return person.request(name, payload, want_reply=want_reply) or True

    def _note_exit(self, name: str, payload: bytes) -> None:
        reader = Reader(payload)
        try:
            if name == "exit-status":
                self._exit_code = reader.uint32()
                self._record(ExitStatus(self._exit_code))
            elif name == "exit-signal":
                signal, dumped, message = reader.text(), reader.take(1) != b"\0", reader.text()
                self._exit_error = f"killed by SIG{signal[:32]}"
                self._record(ExitSignal(signal=signal[:32], core_dumped=dumped, message=message[:1024]))
        except CertificateInvalid as error:
            log.warning("session %s: the node's %s can't be read: %s", self.session.id, name, error)

    def _record(self, frame: frames.Frame) -> None:
        recorder = self.session.recorder
        if recorder is not None:
            self._recorded(lambda _: recorder.record(frame), b"")

    # The end

    def ended(self) -> None:
        """See `Watch.ended`."""
        self._tell_size()
        if self._sftp is not None:
            self._sftp.end()
        if self._scp is not None:
            self._scp.end()
        if self.pipe is not None:
            self.session.over(self.pipe)
        for _, _, future in self._held:
            if future is not None and not future.done():
                future.set_result(False)
        if self._run is not None and self._run.program is requests.Program.EXEC:
            self._tell_exec(self._run)
        self._on_over(self)

    def _tell_exec(self, run: requests.Run) -> None:
        code = self._exit_code if self._exit_code is not None else -1
        error = self._exit_error or ("" if self._exit_code is not None else "ended without an exit status")
        self.session.tell("exec", command=_shown(run.command), exitCode=code, exitError=error)


def _shown(command: bytes) -> str:
    return command.decode("utf-8", "backslashreplace")[:MAX_LOGGED]


def _pass_on(later: asyncio.Future[bool], done: asyncio.Future[bool]) -> None:
    if later.done():
        return
    failed = done.cancelled() or done.exception() is not None
    later.set_result(not failed and bool(done.result()))
