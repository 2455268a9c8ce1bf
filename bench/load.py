"""The load generator: a process of its own, so that its CPU is not anyone's: `python -m bench.load`.

It reads a `Job` a line, connects and warms up, says `ready`, waits for a line, runs, and says a `Result`.
Closed loop: each connection sends its next call when the answer to the last has come and has been checked.
"""

import asyncio
import base64
import os
import random
import resource
import sys
import time
from bisect import bisect
from functools import cache
from itertools import accumulate
from typing import cast

import httptools
import msgspec
import uvloop

from bench.wire import INITIALIZED, Job, Result, body, head, initialize, is_right

CONNECT_TIMEOUT_S = 30.0
TEXT = 1
"""The opcode of a text frame (RFC 6455 section 5.2)."""
REFUSALS = frozenset({429, 503})
ROUND_GRACE_S = 30.0
"""How much longer than asked a round may take before it counts as hung."""
MAX_FAILURES_PER_CLIENT = 100
"""A target that answers nothing but errors must not become a busy loop."""


@cache
def zipf(count: int, skew: float) -> list[float]:
    """The sums of the first chances of `count` things of which the n-th comes 1/n^skew times as often as the first."""
    weights = [1 / rank**skew for rank in range(1, count + 1)]
    total = sum(weights)
    return [part / total for part in accumulate(weights[:-1])]


class Client(asyncio.Protocol):
    """One connection, and one call at a time."""

    def __init__(self, job: Job, number: int) -> None:
        self._job = job
        self._number = number
        self._tokens = job.tokens or [""]
        self._heads = [head(job, token) for token in self._tokens]
        if job.sessions:
            self._heads = [head(job, self._tokens[0], session) for session in job.sessions]
        # Apart from each other: else all clients are the same caller at the same time, and of many few are in use.
        self._turn = number * len(self._heads) // job.concurrency
        self._pad = "x" * max(0, job.pad_bytes - 16)
        self._serial = 0
        self._chance = random.Random(job.seed * 1_000_003 + number)
        self._ranks = zipf(job.distinct, job.skew)
        self._running = False
        self._done: asyncio.Future[None] | None = None
        self._answer: asyncio.Future[tuple[int, str, bytes]] | None = None
        self.forget()

    def forget(self) -> None:
        """Begin counting anew."""
        self.latencies_s: list[float] = []
        self.refusals_s: list[float] = []
        self.wrong = self.failed = 0
        self.first_failure = ""

    # The connection.

    async def connect(self) -> None:
        """Connect, and open a session where the era has one."""
        await asyncio.get_running_loop().create_connection(lambda: self, self._job.host, self._job.port)
        if self._job.era == "legacy" and not self._job.sessions:
            for at, token in enumerate(self._tokens):
                self._heads[at] = head(self._job, token, await self._open_session(token))

    async def _open_session(self, token: str) -> str:
        status, session, answer = await self._exchange(head(self._job, token, method="initialize"), initialize())
        if status != 200:
            raise ConnectionError(f"initialize: {status} {answer[:300]!r}")
        status, _, answer = await self._exchange(head(self._job, token, session), INITIALIZED)
        if status not in (200, 202):
            raise ConnectionError(f"initialized: {status} {answer[:300]!r}")
        return session

    async def _exchange(self, start: bytes, content: bytes) -> tuple[int, str, bytes]:
        return await self._setup(start + b"%d\r\n\r\n%b" % (len(content), content))

    async def _setup(self, data: bytes) -> tuple[int, str, bytes]:
        """Send what belongs to opening, and give what comes back."""
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        return await asyncio.wait_for(self._answer, CONNECT_TIMEOUT_S)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is no subclass
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._session = ""

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def connection_lost(self, error: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError("closed during set-up"))
        elif self._running:
            self._fail("the connection was closed")
            self._finish()  # a reconnect would hide it: what a gateway closes under load is a failure

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"mcp-session-id":
            self._session = value.decode()

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        answer, self._body = self._body, b""
        self._came(self._parser.get_status_code(), answer)

    def _came(self, status: int, answer: bytes) -> None:
        if self._answer is not None:
            setup, self._answer = self._answer, None
            if not setup.done():
                setup.set_result((status, self._session, answer))
            return None
        now_s = time.perf_counter()
        if status in REFUSALS and self._job.may_refuse:
            self.refusals_s.append(now_s - self._sent_at_s)
            return self._next(now_s)
        self.latencies_s.append(now_s - self._sent_at_s)
        if status != 200:
            self._fail(f"{status} {answer[:300]!r}")
        elif not is_right(self._job, self._serial, self._message, answer):
            self.wrong += 1
            self.first_failure = self.first_failure or f"wrong answer to {self._serial}: {answer[:300]!r}"
        return self._next(now_s)

    def _next(self, now_s: float) -> None:
        if now_s >= self._until_s or len(self.latencies_s) >= self._limit or self.failed > MAX_FAILURES_PER_CLIENT:
            self._finish()
        elif self._job.pause_s:
            asyncio.get_running_loop().call_later(self._job.pause_s, self._send_again)
        else:
            self._send()

    # The calls.

    async def run(self, *, until_s: float, limit: int) -> None:
        """Call until the time or the number is reached."""
        self._until_s, self._limit = until_s, limit
        self._running = True
        self._done = asyncio.get_running_loop().create_future()
        if self._transport.is_closing():
            self._fail("the connection was closed while idle")
            self._finish()
        else:
            self._send()
        await self._done

    def _send(self) -> None:
        self._serial += 1
        # All clients use the same ids, so that an answer that went astray has a right id and a wrong message.
        if self._job.distinct:
            self._message = f"r-{bisect(self._ranks, self._chance.random())}-{self._pad}"
        else:
            self._message = f"{self._number}-{self._serial}-{self._pad}"
        content = body(self._job, self._serial, self._message)
        self._turn = (self._turn + 1) % len(self._heads)
        self._sent_at_s = time.perf_counter()
        self._transport.write(self._framed(content))

    def _send_again(self) -> None:
        if self._running:
            self._send()

    def _framed(self, content: bytes) -> bytes:
        return self._heads[self._turn] + b"%d\r\n\r\n%b" % (len(content), content)

    def _fail(self, why: str) -> None:
        self.failed += 1
        self.first_failure = self.first_failure or why

    def _finish(self) -> None:
        self._running = False
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def close(self) -> None:
        """Hang up."""
        self._running = False
        self._transport.close()


class WebSocketClient(Client):
    """One WebSocket, on which a message is a call."""

    async def connect(self) -> None:
        """Connect and upgrade."""
        await asyncio.get_running_loop().create_connection(lambda: self, self._job.host, self._job.port)
        self._is_open = False
        self._buffer = b""
        lines = [
            f"GET {self._job.path} HTTP/1.1",
            f"host: {self._job.host}:{self._job.port}",
            "upgrade: websocket",
            "connection: Upgrade",
            f"sec-websocket-key: {base64.b64encode(os.urandom(16)).decode()}",
            "sec-websocket-version: 13",
            "sec-websocket-protocol: mcp",
            f"{self._job.credential} {self._tokens[0]}",
        ]
        status, _, answer = await self._setup(("\r\n".join(lines) + "\r\n\r\n").encode())
        if status != 101:
            raise ConnectionError(f"upgrade: {status} {answer[:300]!r}")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if found:
                self._is_open, self._buffer = True, rest
                self._came(int(head.split()[1]), head)
            return
        while len(self._buffer) >= 2:
            size, start = self._buffer[1], 2
            if size >= 126:
                width = 2 if size == 126 else 8
                size, start = int.from_bytes(self._buffer[2 : 2 + width], "big"), 2 + width
            if len(self._buffer) < start + size:
                return
            opcode, payload = self._buffer[0] & 15, self._buffer[start : start + size]
            self._buffer = self._buffer[start + size :]
            if opcode == TEXT:
                self._came(200, payload)

    def _framed(self, content: bytes) -> bytes:
        # The mask is of zeros: it must be there, and its cost is not the server's.
        size = bytes([0x80 | len(content)]) if len(content) < 126 else b"\xfe" + len(content).to_bytes(2, "big")
        return b"\x81" + size + bytes(4) + content


class TcpClient(Client):
    """One socket, on which a line is a call."""

    async def connect(self) -> None:
        """Connect and authenticate."""
        await asyncio.get_running_loop().create_connection(lambda: self, self._job.host, self._job.port)
        self._buffer = b""
        params = {"token": self._tokens[0], "server": self._job.path.rpartition("/")[2]}
        auth = msgspec.json.encode({"jsonrpc": "2.0", "id": 0, "method": "auth", "params": params})
        _, _, answer = await self._setup(auth + b"\n")
        if b'"result"' not in answer:
            raise ConnectionError(f"auth: {answer[:300]!r}")

    def data_received(self, data: bytes) -> None:
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._came(200, line)

    def _framed(self, content: bytes) -> bytes:
        return content + b"\n"


DOORS: dict[str, type[Client]] = {"http": Client, "websocket": WebSocketClient, "tcp": TcpClient}


async def perform(job: Job, go: asyncio.StreamReader) -> Result:
    """One round."""
    clients = [DOORS[job.door](job, number) for number in range(job.concurrency)]
    await asyncio.gather(*(client.connect() for client in clients))
    forever_s = time.perf_counter() + CONNECT_TIMEOUT_S
    await asyncio.gather(*(client.run(until_s=forever_s, limit=job.warm_up_calls) for client in clients))
    warm_up_failure = next((client.first_failure for client in clients if client.first_failure), "")
    for client in clients:
        client.forget()
    say({"ready": True})
    await go.readline()
    own = resource.getrusage(resource.RUSAGE_SELF)
    limit = -(-job.calls // job.concurrency) if job.calls else sys.maxsize
    started_at_s = time.perf_counter()
    until_s = float("inf") if job.calls else started_at_s + job.seconds
    timeout_s = None if job.calls else job.seconds + ROUND_GRACE_S
    await asyncio.wait_for(asyncio.gather(*(client.run(until_s=until_s, limit=limit) for client in clients)), timeout_s)
    seconds = time.perf_counter() - started_at_s
    spent = resource.getrusage(resource.RUSAGE_SELF)
    for client in clients:
        client.close()
    latencies_s = sorted(latency for client in clients for latency in client.latencies_s)
    refusals_s = sorted(latency for client in clients for latency in client.refusals_s)
    return Result(
        calls=len(latencies_s) + len(refusals_s),
        seconds=seconds,
        p50_s=_percentile(latencies_s, 50),
        p99_s=_percentile(latencies_s, 99),
        refused=len(refusals_s),
        refused_p99_s=_percentile(refusals_s, 99),
        wrong=sum(client.wrong for client in clients),
        failed=sum(client.failed for client in clients),
        own_cpu_s=spent.ru_utime + spent.ru_stime - own.ru_utime - own.ru_stime,
        first_failure=warm_up_failure or next((c.first_failure for c in clients if c.first_failure), ""),
    )


def _percentile(ordered_s: list[float], percent: int) -> float:
    return ordered_s[min(len(ordered_s) - 1, len(ordered_s) * percent // 100)] if ordered_s else 0.0


def say(message: object) -> None:
    """Answer the one who drives."""
    sys.stdout.buffer.write(msgspec.json.encode(message) + b"\n")
    sys.stdout.buffer.flush()


async def main() -> None:
    """Perform jobs until standard input ends."""
    lines = asyncio.StreamReader(limit=1 << 26)
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        try:
            say(await perform(msgspec.json.decode(line, type=Job), lines))
        except (OSError, TimeoutError, httptools.HttpParserError) as error:
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    uvloop.run(main())
