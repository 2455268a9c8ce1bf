"""The command of a shim as a child that ends with it, and with everything it started."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import IO, Final

from mantlet.ops.shim.plan import UNHEALTHY, ShimFailed, shown
from mantlet.upstreams.transports.stdio.child import LAUNCHER

LAUNCHER_GRACE_S: Final = 2.0


class Process:
    """A running command. It has this process's environment: whoever started the shim meant it for the tool."""

    def __init__(self, command: Sequence[str], lock: int) -> None:
        program = shutil.which(command[0])
        if program is None:
            raise ShimFailed(f"the program {command[0]!r} is not found", UNHEALTHY)
        self._lifeline, theirs = socket.socketpair()
        try:
            # Our own stderr is its stderr. The lock goes along: see `lock`.
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", LAUNCHER, str(theirs.fileno()), "1", program, *command[1:]],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(theirs.fileno(), lock),
                start_new_session=True,
            )
        except OSError as error:
            self._lifeline.close()
            raise ShimFailed(f"{shown(command)} cannot be started: {error.strerror}", UNHEALTHY) from error
        finally:
            theirs.close()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.stdin: IO[bytes] = self._process.stdin
        self.stdout: IO[bytes] = self._process.stdout

    def close_stdin(self) -> None:
        """Tell it that nothing more comes."""
        with suppress(OSError):
            self.stdin.close()

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Its exit code, or None while it runs on after `timeout_s`."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None

    def end(self, timeout_s: float) -> int:
        """Ask it to go, and after `timeout_s` end all of it; its exit code."""
        self.close_stdin()
        if (code := self.wait(timeout_s)) is None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            code = self.wait(timeout_s)
        self._lifeline.close()  # the launcher kills whatever is left
        if code is None and (code := self.wait(LAUNCHER_GRACE_S)) is None:
            self._process.kill()
            code = self._process.wait()
        return code


def exit_of(command: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Run a short command and give its exit code (127: not found, 124: too slow) and what it said on stdout."""
    try:
        done = subprocess.run(
            [*command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            timeout=timeout_s, check=False, env=os.environ,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 124, ""
    except OSError:
        return 127, ""
    return done.returncode, done.stdout[:4096].decode(errors="replace")
