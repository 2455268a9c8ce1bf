"""One program in a process group of its own, ended for certain."""

import contextlib
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT_S = 30.0
"""Python servers take two to four seconds on two busy cores."""
STOP_TIMEOUT_S = 5.0


class NotStarted(Exception):
    """A program ended or stayed silent before it listened; the message carries the end of its output."""


def free_port() -> int:
    """A port of loopback that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether something accepts on `port` of loopback."""
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def many_files() -> None:
    """Let this process, and those that it starts, open as many files as the system allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


class Program:
    """A running child; its output goes to `log`."""

    def __init__(
        self, command: Sequence[str], log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self.log = log
        self._name = " ".join(command)
        self.started_at_s = time.monotonic()
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(env or {})},
                cwd=cwd,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def wait_listening(self, port: int, timeout_s: float = START_TIMEOUT_S) -> float:
        """Wait until `port` accepts; gives the seconds since the start. Raises `NotStarted`."""
        while time.monotonic() - self.started_at_s < timeout_s:
            if is_listening(port):
                return time.monotonic() - self.started_at_s
            if self._process.poll() is not None:
                raise NotStarted(f"{self._name} ended with {self._process.returncode}:\n{self.tail()}")
            time.sleep(0.005)
        raise NotStarted(f"{self._name} did not listen within {timeout_s} s:\n{self.tail()}")

    def tail(self, size: int = 2000) -> str:
        """The end of what it said."""
        return self.log.read_text(errors="replace")[-size:]

    @property
    def has_ended(self) -> bool:
        """Whether it has, by itself or not."""
        return self._process.poll() is not None

    def stop(self) -> int:
        """SIGTERM, and SIGKILL to the whole group when that does not help; gives the exit status."""
        if self._process.poll() is None:
            self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, log: Path, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> Iterator[Program]:
    """A program that listens on `port`, until the block ends."""
    program = Program(command, log, env, cwd)
    try:
        program.wait_listening(port)
        yield program
    finally:
        program.stop()
