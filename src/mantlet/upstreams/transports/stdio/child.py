"""A command as a line channel: spawned through the launcher, heard line by line, stopped for certain (MCP-08)."""

import asyncio
import os
import shutil
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.transports.channel.channel import LineReader
from mantlet.upstreams.transports.channel.lines import LineSplitter
from mantlet.upstreams.transports.channel.writer import LineWriter
from mantlet.upstreams.transports.stdio.account import Account, account_of
from mantlet.upstreams.transports.stdio.config import StdioServerConfig
from mantlet.upstreams.transports.stdio.guard import guard

LAUNCHER: Final = str(Path(__file__).with_name("launcher.py"))
INHERITED: Final = frozenset({"PATH", "HOME", "LANG", "TZ", "TMPDIR"})
"""What of the node's environment a child sees, beside LC_*: nothing that may hold a secret."""
STDERR_LINE_BYTES: Final = 2_000
LAUNCHER_GRACE_S: Final = 2.0
"""How long the launcher may take to kill everything once the lifeline is cut."""
LAST_WORDS_S: Final = 0.5
"""How long a pipe may stay open after the process: only a descendant that escaped a killed launcher holds it."""

OnStderr = Callable[[str], None]


def scrubbed(environment: Mapping[str, str], configured: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the allowed few of the node's, and what is configured."""
    kept = {name: value for name, value in environment.items() if name in INHERITED or name.startswith("LC_")}
    return {**kept, **configured}


def resolved(command: list[str], environment: Mapping[str, str], cwd: str | None) -> list[str]:
    """`command` with its program as an absolute path; raises `UpstreamUnavailable` when there is none."""
    program = command[0]
    if "/" in program:
        found = str((Path(cwd or ".") / program).absolute())
    else:
        found = shutil.which(program, path=environment.get("PATH", os.defpath)) or ""
    if not found or not os.access(found, os.X_OK):
        raise UpstreamUnavailable(why=f"the program {program!r} is not found or not executable")
    return [found, *command[1:]]


class Program:
    """What runs a server's command, found and looked at once. Each call starts it anew."""

    def __init__(self, config: StdioServerConfig, environment: Mapping[str, str]) -> None:
        """Raises `ValueError` for a user that cannot be had. A program that is not there yet is looked for later."""
        self._config = config
        self._account = account_of(config.user)
        env = scrubbed(environment, config.env)
        if self._account is not None and "HOME" not in config.env:
            env["HOME"] = self._account.home
        self._env = env
        self._command: list[str] | None = None
        with suppress(UpstreamUnavailable):
            self._find()

    async def __call__(self, reader: LineReader, on_stderr: OnStderr) -> "Child":
        """See `Child.spawn`."""
        return await Child.spawn(self._config, reader, on_stderr, self._env, self._find(), self._account)

    def _find(self) -> list[str]:
        """The command by the path that was found first: whoever puts another before it on PATH comes too late."""
        if self._command is None:
            self._command = resolved(self._config.command, self._env, self._config.cwd)
        return self._command


class Child(asyncio.SubprocessProtocol):
    """A running command. It is closed (`on_closed` of its reader) once its stdout ends or it does.

    What the child does not read waits, at most `max_unsent_bytes`; after that `write_line` says no.
    """

    def __init__(self, config: StdioServerConfig, reader: LineReader, on_stderr: OnStderr) -> None:
        self._config = config
        self._reader = reader
        self._on_stderr = on_stderr
        self._loop = asyncio.get_running_loop()
        self._stdout = LineSplitter(config.max_line_bytes)
        self._stderr = LineSplitter(STDERR_LINE_BYTES)
        self.stderr: deque[str] = deque(maxlen=config.stderr_lines)
        self._transport: asyncio.SubprocessTransport | None = None
        self._stdin: asyncio.WriteTransport | None = None
        self._lifeline: socket.socket | None = None
        self._writer = LineWriter(config.max_unsent_bytes)
        self._is_closed = False
        self._pid: int | None = None
        self.ended = asyncio.Event()
        """The launcher has ended, and with it everything below it."""

    @classmethod
    async def spawn(
        cls,
        config: StdioServerConfig,
        reader: LineReader,
        on_stderr: OnStderr,
        env: Mapping[str, str],
        command: Sequence[str],
        account: Account | None = None,
    ) -> "Child":
        """Start `command` with `env`; raises `UpstreamUnavailable` when it cannot. A cancelled spawn leaves nothing."""
        child = cls(config, reader, on_stderr)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        child._lifeline = ours  # from here on closing it is the end of all that was started
        # A spawn that is cancelled half way leaks its transport (uvloop) or waits without bound (asyncio): so it is
        # a task of its own that runs to its end, and what it made is ended after it.
        spawning = Tasks(lambda _error: None).start(
            child._loop.subprocess_exec(
                lambda: child,
                *(
                    sys.executable,
                    "-I",
                    "-S",
                    LAUNCHER,
                    str(theirs.fileno()),
                    guard(config, account, command),
                    *command,
                ),
                env=env,
                cwd=config.cwd,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            ),
            f"spawn:{config.name}",
        )
        try:
            await asyncio.shield(spawning)
        except OSError as error:
            ours.close()
            raise UpstreamUnavailable(why=f"cannot start {command[0]}: {error}") from error
        except BaseException:
            await asyncio.wait({spawning}, timeout=LAUNCHER_GRACE_S)
            await child._finish()
            raise
        finally:
            theirs.close()
        return child

    @property
    def pid(self) -> int | None:
        """The command's pid, which is its process group too; None until the launcher has told it."""
        if self._pid is None and self._lifeline is not None and self._lifeline.fileno() >= 0:
            with suppress(BlockingIOError, OSError, ValueError):
                self._pid = int(self._lifeline.recv(32))
        return self._pid

    @property
    def exit_code(self) -> int | None:
        """How the command ended: its code, or 128 + signal; None while it runs."""
        return None if self._transport is None else self._transport.get_returncode()

    @property
    def last_lines(self) -> Iterable[str]:
        """The last lines of stderr."""
        return self.stderr

    def account(self) -> str:
        """How it ended, in its own last words; for people."""
        last = f", stderr: {self.stderr[-1]}" if self.stderr else ""
        return f"exit code {self.exit_code}{last}"

    # --- lines out

    def write_line(self, line: bytes) -> bool:
        """Queue `line`; False when the child is closed or reads too slowly."""
        return self._writer.write(line)

    def pause_writing(self) -> None:
        """The pipe is full: lines wait here, where they are counted."""
        self._writer.pause()

    def resume_writing(self) -> None:
        """The child reads again."""
        self._writer.resume()

    # --- what the loop tells

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The launcher runs."""
        subprocess: Any = transport  # uvloop's transports are of no class of asyncio's
        self._transport = subprocess
        self._stdin = subprocess.get_pipe_transport(0)
        self._writer.attach(subprocess.get_pipe_transport(0))

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        """Bytes of stdout become lines, bytes of stderr notes for people."""
        if fd == 1:
            splitter, reader = self._stdout, self._reader
            for line in splitter.feed(data):
                reader.on_line(line)
            if splitter.oversized:
                heads, splitter.oversized = splitter.oversized, []
                for head in heads:
                    reader.on_oversized(head)
            return
        lines = self._stderr.feed(data)
        lines += self._stderr.oversized
        self._stderr.oversized.clear()
        for line in lines:
            text = line.decode(errors="replace")
            self.stderr.append(text)
            self._on_stderr(text)

    def pipe_connection_lost(self, fd: int, exc: Exception | None) -> None:
        """A closed stdout is the end of the conversation; a closed stdin is found out by writing."""
        if fd == 1:
            self._closed("the server closed its stdout")

    def process_exited(self) -> None:
        """The launcher ended, so nothing is left below it. Its last words may still be in the pipe."""
        self._loop.call_later(LAST_WORDS_S, self._closed, "the server ended")
        if self.exit_code is not None and self.exit_code < 0 and self.pid is not None:
            # The launcher itself was killed. Its child got the parent death signal; the group is for us to end.
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._cut()
        self.ended.set()

    def _closed(self, why: str) -> None:
        if not self._is_closed:
            self._is_closed = True
            self._writer.close()
            self._reader.on_closed(why)

    # --- the end

    async def stop(self, timeout_s: float) -> None:
        """Close stdin, then SIGTERM, then the end of the whole tree: each step after `timeout_s` without success.

        Returns when all is gone. A cancelled stop skips the patience, not the end: it takes milliseconds, at most
        `LAUNCHER_GRACE_S` twice.
        """
        try:
            if self._stdin is not None:
                self._stdin.close()
            if not await self._ends_within(timeout_s):
                self._signal(signal.SIGTERM)
                await self._ends_within(timeout_s)
        finally:
            await self._finish()

    async def _finish(self) -> None:
        self._closed("stopped")
        self._cut()
        if not await self._ends_within(LAUNCHER_GRACE_S):
            self._signal(signal.SIGKILL)
            await self._ends_within(LAUNCHER_GRACE_S)
        if self._transport is not None:
            self._transport.close()

    def _signal(self, number: signal.Signals) -> None:
        # The launcher passes SIGTERM on; after SIGKILL `process_exited` ends the group.
        with suppress(ProcessLookupError):
            if self._transport is not None:
                self._transport.send_signal(number)

    def _cut(self) -> None:
        if self._lifeline is not None:
            _ = self.pid
            self._lifeline.close()

    async def _ends_within(self, timeout_s: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self.ended.wait()
        return self.ended.is_set()
