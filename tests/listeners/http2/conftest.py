"""A client that speaks HTTP/2 frame by frame: well when asked, and badly when asked."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection

from mantlet.keys.certificates import make_authority, make_server
from mantlet.wire.http2.abuse import Points
from mantlet.wire.http2.frames import Gate

PATIENCE_S = 10.0
CONFIG = H2Configuration(
    client_side=True,
    header_encoding=None,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
    validate_inbound_headers=True,
)


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


class Patient(Points):
    def spend(self, points: float, what: str, now_s: float) -> None:
        """A client has no quarrel with a node."""


class Client2:
    """One connection. `seen` are all events so far; `goaway` is the code of the node's last word."""

    def __init__(self, house: Any, client: Any) -> None:
        self.house = house
        self.reader, self.writer = client.reader, client.writer
        self.h2 = H2Connection(CONFIG)
        self.seen: list[Any] = []
        self.is_over = False
        self.acknowledges = True
        self.goaways: list[tuple[int, int]] = []
        # `h2` as a client gives up at a GOAWAY; a patient one goes on reading.
        self._gate = Gate(
            Patient(0),
            max_block_bytes=65_536,
            is_server=False,
            on_goaway=lambda last, code: self.goaways.append((last, code)),
        )

    def begin(self) -> None:
        self.h2.initiate_connection()
        self.flush()

    def flush(self) -> None:
        if data := self.h2.data_to_send():
            self.writer.write(data)

    def raw(self, data: bytes) -> None:
        self.writer.write(data)

    def fields(self, method: str = "GET", path: str = "/", more: tuple[tuple[bytes, bytes], ...] = ()) -> list[Any]:
        return [
            (b":method", method.encode()),
            (b":scheme", b"https"),
            (b":authority", b"localhost:%d" % self.house.listener.port),
            (b":path", path.encode()),
            *more,
        ]

    def ask(self, fields: list[Any] | None = None, body: bytes | None = None, *, ends: bool = True) -> int:
        """Begin a request; `body` goes out whole if the window lets it."""
        stream: int = self.h2.get_next_available_stream_id()
        self.h2.send_headers(stream, fields or self.fields(), end_stream=ends and body is None)
        for at in range(0, len(body or b""), 16384):
            self.h2.send_data(stream, body[at : at + 16384])
        if body is not None and ends:
            self.h2.end_stream(stream)
        self.flush()
        return stream

    async def read(self) -> bool:
        """Take what comes; False at the end."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                data = await self.reader.read(65536)
            except (ConnectionError, ssl.SSLError):
                data = b""
        if not data:
            self.is_over = True
            return False
        for event in self.h2.receive_data(self._gate.feed(data, 0)):
            self.seen.append(event)
            if isinstance(event, events.DataReceived) and self.acknowledges:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self.flush()
        return True

    async def until(self, condition: Callable[[], Any]) -> Any:
        while not (found := condition()):
            if not await self.read():
                raise EOFError(self.seen[-5:])
        return found

    async def end(self) -> None:
        while await self.read():
            pass

    def of(self, kind: type, stream: int | None = None) -> list[Any]:
        return [e for e in self.seen if isinstance(e, kind) and (stream is None or e.stream_id == stream)]

    async def head(self, stream: int) -> tuple[int, dict[bytes, bytes]]:
        (event, *_) = await self.until(lambda: self.of(events.ResponseReceived, stream))
        headers = dict(event.headers)
        return int(headers[b":status"]), headers

    async def answer(self, stream: int) -> tuple[int, dict[bytes, bytes], bytes]:
        status, headers = await self.head(stream)
        await self.until(lambda: self.of(events.StreamEnded, stream) or self.of(events.StreamReset, stream))
        return status, headers, self.body(stream)

    def body(self, stream: int) -> bytes:
        return b"".join(bytes(e.data) for e in self.of(events.DataReceived, stream))

    async def reset_of(self, stream: int) -> int:
        (event, *_) = await self.until(lambda: self.of(events.StreamReset, stream))
        return int(event.error_code)


@pytest.fixture(scope="session")
def pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder: Path = tmp_path_factory.mktemp("http2")
    now = datetime.now(UTC)
    root = make_authority("test", 9, now)
    made = make_server(root, ["localhost"], 5, now)
    for name, text in (("ca.pem", root.certificate), ("s.pem", made.certificate), ("s.key", made.key)):
        (folder / name).write_text(text)
    return {"ca": str(folder / "ca.pem"), "cert_file": str(folder / "s.pem"), "key_file": str(folder / "s.key")}


@pytest.fixture
def trusting(pair: dict[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=pair["ca"])
    context.set_alpn_protocols(["h2"])
    return context


Connect = Callable[..., Awaitable[Client2]]


@pytest.fixture
async def serve2(serve, pair: dict[str, str]) -> Callable[..., Awaitable[Any]]:
    async def open_house(handler: Any = None, **config: Any) -> Any:
        tls = {"cert_file": pair["cert_file"], "key_file": pair["key_file"]}
        return await serve(
            handler, **{"tls": tls, "http2": True, "allowed_hosts": ["localhost"], "trusted_proxies": [], **config}
        )

    return open_house


@pytest.fixture
def connect(trusting: ssl.SSLContext) -> Connect:
    async def connect(house: Any, *, begins: bool = True) -> Client2:
        client = Client2(house, await house.connect(ssl=trusting, server_hostname="localhost"))
        if begins:
            client.begin()
        return client

    return connect
