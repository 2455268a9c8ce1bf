"""stdin and stdout of a shim, line by line: what the client may not ask is answered here."""

import sys
import threading
from typing import IO, Final

from mantlet.ops.shim.allowed import refusal_of
from mantlet.ops.shim.log import Log
from mantlet.ops.shim.plan import Plan
from mantlet.ops.shim.process import Process
from mantlet.wire import jsonrpc

CHUNK: Final = 65_536


class Relay:
    """Both directions, a thread each. `client` are the shim's own stdin and stdout."""

    def __init__(
        self, plan: Plan, process: Process, log: Log, client: tuple[IO[bytes], IO[bytes]] | None = None
    ) -> None:
        self._plan = plan
        self._process = process
        self._log = log
        self._from_client: IO[bytes] = client[0] if client else sys.stdin.buffer
        self._to_client: IO[bytes] = client[1] if client else sys.stdout.buffer
        self._writing = threading.Lock()

    def run(self) -> int:
        """Until the command ends or the client is done; the exit code."""
        # A daemon: a read of stdin cannot be interrupted, and must not keep a shim alive whose tool has ended.
        threading.Thread(target=self._inward, name="shim in", daemon=True).start()
        self._outward()
        return self._process.end(self._plan.stop_timeout_s)

    def _inward(self) -> None:
        try:
            while line := self._from_client.readline(self._plan.max_message_bytes + 1):
                if len(line) > self._plan.max_message_bytes:
                    self._skip(line)
                    self._answer(jsonrpc.error(None, 4413, "The message is too large."))
                elif line.strip():
                    self._message(line)
        except (OSError, ValueError):
            pass  # one side is gone; the other direction notices
        finally:
            self._process.close_stdin()

    def _message(self, line: bytes) -> None:
        refused = refusal_of(line, self._plan.allow)
        if refused is None:
            self._process.stdin.write(line if line.endswith(b"\n") else line + b"\n")
            self._process.stdin.flush()
            return
        self._log.event("shim.refused", bytes=len(line))
        if refused:
            self._answer(refused)

    def _skip(self, begun: bytes) -> None:
        while begun and not begun.endswith(b"\n"):
            begun = self._from_client.readline(CHUNK)

    def _outward(self) -> None:
        # Whole lines under the lock, in pieces: a refusal must not fall into the middle of one.
        out = self._process.stdout
        while piece := out.readline(CHUNK):
            with self._writing:
                self._to_client.write(piece)
                while piece and not piece.endswith(b"\n"):
                    piece = out.readline(CHUNK)
                    self._to_client.write(piece)
                self._to_client.flush()

    def _answer(self, message: bytes) -> None:
        with self._writing:
            self._to_client.write(message + b"\n")
            self._to_client.flush()
