"""Connections that stay, over TLS with the right and the wrong certificates (TLS-03, TLS-04)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.client.test_tls import OTHER_PIN, Tls, start
from tests.upstreams.transports.peers import Recorder, within
from websockets.asyncio.server import ServerConnection, serve

from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.transports.tcp.config import TcpServerConfig
from mantlet.upstreams.transports.tcp.connector import TcpConnector
from mantlet.upstreams.transports.websocket.config import WebSocketServerConfig
from mantlet.upstreams.transports.websocket.connector import WebSocketConnector


@pytest.fixture
async def tls(tmp_path: Path) -> AsyncIterator[Tls]:
    opened, server = await start(tmp_path, "127.0.0.1")
    yield opened
    server.close()


def tcp(port: int, settings: TlsConfig) -> TcpConnector:
    return TcpConnector(TcpServerConfig(name="test", host="127.0.0.1", port=port, tls=settings))


def websocket(port: int, settings: TlsConfig) -> WebSocketConnector:
    return WebSocketConnector(WebSocketServerConfig(name="test", url=f"wss://127.0.0.1:{port}/", tls=settings))


@pytest.mark.parametrize("connector", [tcp, websocket])
async def test_a_certificate_of_an_unknown_ca_is_refused(tls: Tls, connector: Callable[..., Any]) -> None:
    with pytest.raises(BadUpstream, match="certificate is not acceptable"):
        await within(connector(tls.port, TlsConfig())(Recorder(), lambda _line: None))
    assert not tls.received


@pytest.mark.parametrize("connector", [tcp, websocket])
async def test_a_key_that_is_not_pinned_is_refused_before_a_byte_is_written(
    tls: Tls, connector: Callable[..., Any]
) -> None:
    """TLS-03"""
    pins = ["sha256/" + "A" * 43 + "=", OTHER_PIN]
    with pytest.raises(BadUpstream, match="not one of the pinned"):
        await within(connector(tls.port, TlsConfig(ca_file=tls.ca_file, pins=pins))(Recorder(), lambda _line: None))
    assert not tls.received


async def test_a_pinned_key_of_a_known_ca_is_spoken_to(tls: Tls) -> None:
    recorder = Recorder()
    connect = tcp(tls.port, TlsConfig(ca_file=tls.ca_file, pins=[tls.pin, OTHER_PIN]))
    channel = await within(connect(recorder, lambda _line: None))
    channel.write_line(b"{}\n")
    await within(recorder.heard.wait())
    assert bytes(tls.received) == b"{}\n"
    await channel.stop(0.5)


async def test_the_handshake_of_a_websocket_goes_over_tls(tls: Tls) -> None:
    connect = websocket(tls.port, TlsConfig(ca_file=tls.ca_file, pins=[tls.pin, OTHER_PIN]))
    with pytest.raises(UpstreamUnavailable, match="answered 200"):
        await within(connect(Recorder(), lambda _line: None))
    assert tls.received.startswith(b"GET / HTTP/1.1\r\n")


async def test_a_server_without_tls_is_no_server(tls: Tls) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"{}\n")
        writer.close()

    plain = await asyncio.start_server(talk, "127.0.0.1", 0)
    with pytest.raises(UpstreamUnavailable):
        await within(tcp(plain.sockets[0].getsockname()[1], TlsConfig())(Recorder(), lambda _line: None))
    plain.close()


def test_without_permission_nothing_goes_unencrypted() -> None:
    """TLS-04"""
    with pytest.raises(ValueError, match="wss://"):
        WebSocketConnector(WebSocketServerConfig(name="test", url="ws://127.0.0.1/"))
    with pytest.raises(ValueError, match="tls must be set"):
        TcpConnector(TcpServerConfig(name="test", host="127.0.0.1", port=1))


async def test_a_whole_websocket_over_tls(tls: Tls) -> None:
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.load_cert_chain(tls.ca_file, Path(tls.ca_file).with_name("key.pem"))

    async def echo(connection: ServerConnection) -> None:
        async for message in connection:
            await connection.send(message)

    subprotocols: Any = ["mcp"]
    async with serve(echo, "127.0.0.1", 0, ssl=certificate, subprotocols=subprotocols, max_size=None) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        recorder = Recorder()
        connect = websocket(port, TlsConfig(ca_file=tls.ca_file, pins=[tls.pin, OTHER_PIN]))
        channel = await within(connect(recorder, lambda _line: None))
        message = b'{"long":"' + b"x" * 2_000_000 + b'"}'
        assert channel.write_line(message + b"\n")
        await within(recorder.heard.wait())
        assert recorder.lines == [message]
        await within(channel.stop(1))
