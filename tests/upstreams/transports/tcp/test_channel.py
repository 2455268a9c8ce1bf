"""One socket of lines, its `auth`, and servers that misbehave."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.upstreams.transports.peers import Recorder, Talk, listening, within

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.transports.tcp import channel as module
from mantlet.upstreams.transports.tcp.channel import TcpChannel
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.tcp.connector import TcpConnector


def configured(port: int, **settings: Any) -> TcpServerConfig:
    return TcpServerConfig(name="test", host="127.0.0.1", port=port, **settings)


@asynccontextmanager
async def connected(talk: Talk, **settings: Any) -> AsyncIterator[tuple[TcpChannel, Recorder]]:
    async with listening(talk) as port:
        recorder = Recorder()
        connect = TcpConnector(configured(port, **settings), is_plain_allowed=True)
        channel = await connect(recorder, lambda _line: None)
        try:
            yield channel, recorder
        finally:
            await channel.stop(0.5)


async def lines_of(recorder: Recorder, count: int) -> list[bytes]:
    async with asyncio.timeout(10):
        while len(recorder.lines) < count:
            recorder.heard.clear()
            await recorder.heard.wait()
    return recorder.lines


async def test_lines_go_both_ways() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline())
        await reader.read()

    async with connected(talk) as (channel, recorder):
        assert channel.write_line(b'{"a":1}\n')
        assert await lines_of(recorder, 1) == [b'{"a":1}']


async def test_split_and_merged_lines_are_told_apart() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in (b'{"a"', b":1}\n{", b'"b":2}\r\n{"c":3}\n{"d"'):
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)

    async with connected(talk) as (_, recorder):
        assert await lines_of(recorder, 3) == [b'{"a":1}', b'{"b":2}\r', b'{"c":3}']
        await within(recorder.closed.wait())
        assert len(recorder.lines) == 3  # what the end cut off is no message


async def test_a_line_too_long_is_skipped_and_the_next_is_heard() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(100):
            writer.write(b"x" * 10_000)
            await writer.drain()
        writer.write(b"\n{}\n")
        await reader.read()

    async with connected(talk, max_line_bytes=1000) as (_, recorder):
        assert await lines_of(recorder, 1) == [b"{}"]
        assert [len(head) for head in recorder.oversized] == [256]


async def test_a_line_that_never_ends_is_held_within_bounds() -> None:
    flooded = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(500):
            writer.write(b"x" * 10_000)
            await writer.drain()
        flooded.set()
        await reader.read()

    async with connected(talk, max_line_bytes=1000) as (channel, recorder):
        await within(flooded.wait())
        await within(recorder.heard.wait())
        assert recorder.lines == []
        assert channel._splitter._size <= 1000 + 300_000  # no more than one read of the loop on top


async def test_a_server_that_never_reads_is_written_to_within_bounds() -> None:
    quiet = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.pause_reading()
        await quiet.wait()

    async with connected(talk, max_unsent_bytes=100_000) as (channel, _):
        for _ in range(2_000):
            if not channel.write_line(b"x" * 50_000 + b"\n"):
                break
            await asyncio.sleep(0)
        else:
            pytest.fail("100 MB were taken")
        quiet.set()


async def test_the_end_is_told_once_and_nothing_is_taken_after_it() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()

    async with connected(talk) as (channel, recorder):
        channel.write_line(b"{}\n")
        await within(recorder.closed.wait())
        assert not channel.write_line(b"{}\n")
    assert len(recorder.whys) == 1


async def test_sockets_are_watched_for_dead_hosts() -> None:
    import socket

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with connected(talk) as (channel, _):
        opened = channel._transport.get_extra_info("socket")
        assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 30


# --- auth


def authenticating(asked: "asyncio.Queue[dict[str, Any]]", result: dict[str, Any]) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            message = json.loads(line)
            if message.get("method") == "auth":
                asked.put_nowait(message)
                writer.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **result}).encode() + b"\n")
            else:
                writer.write(line)

    return talk


async def test_auth_comes_first_and_its_answer_is_not_the_readers() -> None:
    asked = asyncio.Queue[dict[str, Any]]()
    talk = authenticating(asked, {"result": {"session": "s", "expires_in": 600}})
    async with connected(talk, token=Secret("xyz"), server="notes") as (channel, recorder):
        message = asked.get_nowait()
        assert message["params"] == {"token": "xyz", "server": "notes"}
        channel.write_line(b'{"a":1}\n')
        assert await lines_of(recorder, 1) == [b'{"a":1}']


async def test_auth_is_renewed_before_the_session_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_RENEWAL_S", 0.01)
    asked = asyncio.Queue[dict[str, Any]]()
    talk = authenticating(asked, {"result": {"expires_in": 0.02}})
    async with connected(talk, token=Secret("xyz")) as (channel, recorder):
        ids = {(await within(asked.get()))["id"] for _ in range(4)}
        assert len(ids) == 4
        channel.write_line(b"{}\n")
        assert await lines_of(recorder, 1) == [b"{}"]


async def test_a_refused_auth_is_no_connection() -> None:
    asked = asyncio.Queue[dict[str, Any]]()
    talk = authenticating(asked, {"error": {"code": 4401, "message": "Not you"}})
    async with listening(talk) as port:
        connect = TcpConnector(configured(port, token=Secret("top-secret")), is_plain_allowed=True)
        with pytest.raises(UpstreamUnavailable) as raised:
            await within(connect(Recorder(), lambda _line: None))
        assert "Not you" in raised.value.why
        assert "top-secret" not in raised.value.why


async def test_an_auth_without_an_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AUTH_TIMEOUT_S", 0.05)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'{"jsonrpc":"2.0","id":"mantlet-auth-7","result":{}}\n"mantlet-auth-1"\n')
        await reader.read()

    async with listening(talk) as port:
        recorder = Recorder()
        connect = TcpConnector(configured(port, token=Secret("xyz")), is_plain_allowed=True)
        with pytest.raises(UpstreamUnavailable, match="does not answer auth"):
            await within(connect(recorder, lambda _line: None))
        assert len(recorder.lines) == 2  # they only look like answers


async def test_a_renewal_that_is_refused_ends_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MIN_RENEWAL_S", 0.01)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for outcome in ({"result": {"expires_in": 0.02}}, {"error": {"code": 4401, "message": "Revoked"}}):
            message = json.loads(await reader.readline())
            writer.write(json.dumps({"jsonrpc": "2.0", "id": message["id"], **outcome}).encode() + b"\n")
        await reader.read()

    async with connected(talk, token=Secret("xyz")) as (_, recorder):
        await within(recorder.closed.wait())
        assert "Revoked" in recorder.whys[0]
