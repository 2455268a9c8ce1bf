"""Caps, the connection list, draining, and the many ways to bind."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.tasks import Tasks
from mantlet.listeners.http import HttpConfig, listen
from mantlet.listeners.http.listener import bound


async def test_connections_over_the_cap_are_refused_at_once_and_others_go_on(serve) -> None:
    """RATE-06"""

    async def handler(arrival: Arrival) -> Reply:
        arrival.caller = Caller("alice", "idp", "jwt")
        return Reply(200, [], b"x")

    house = await serve(handler, max_connections=2)
    first, second = await house.connect(), await house.connect()
    for client in (first, second):
        client.send(house.get())
        await client.answer()
    third = await house.connect()
    assert (await third.rest()).startswith(b"HTTP/1.1 503 ")
    assert house.listener.refused_connections == 1
    first.send(house.get())
    assert (await first.answer())[0] == 200
    second.close()
    await house.until(lambda: len(house.listener.connections()) == 1)
    fourth = await house.connect()
    fourth.send(house.get())
    assert (await fourth.answer())[0] == 200


async def test_one_address_cannot_take_all_connections(serve) -> None:
    """RATE-06"""
    house = await serve(per_address_connections=1)
    client = await house.connect()
    client.send(house.get())
    await client.answer()
    assert (await (await house.connect()).rest()).startswith(b"HTTP/1.1 503 ")
    other = await house.connect(local_addr=("127.0.0.2", 0))
    other.send(house.get())
    assert (await other.answer())[0] == 200


async def test_the_list_of_connections_tells_who_and_how_much(serve) -> None:
    async def handler(arrival: Arrival) -> Reply:
        arrival.caller = Caller("alice", "idp", "jwt")
        return Reply(200, [], b"x")

    house = await serve(handler)
    client = await house.connect()
    request = house.get()
    client.send(request)
    await client.answer()
    house.now_s += 5
    (info,) = house.listener.connections()
    assert (info.peer, info.age_s, info.requests, info.caller) == ("127.0.0.1", 5.0, 1, "default/idp/alice")
    assert info.bytes_in == len(request)
    assert info.bytes_out > 100
    assert not info.in_flight


async def test_draining_ends_the_idle_and_waits_for_the_busy(serve) -> None:
    """RES-05: no truncated answer; nobody new."""
    gate = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        if arrival.path == "/slow":
            await gate.wait()
        return Reply(200, [], b"whole")

    house = await serve(handler)
    idle, busy = await house.connect(), await house.connect()
    idle.send(house.get())
    await idle.answer()
    busy.send(house.get(b"/slow"))
    await house.until(lambda: len(house.arrivals) == 2)
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(house.listener.drain(30))
        assert await idle.rest() == b""
        with pytest.raises(OSError):
            await house.connect()
        assert not draining.done()
        gate.set()
        status, headers, body = await busy.answer()
    assert (status, body, headers[b"connection"]) == (200, b"whole", b"close")
    assert house.listener.connections() == []


async def test_draining_cancels_what_outlasts_its_grace(serve) -> None:
    """RES-05"""
    cancelled = asyncio.Event()

    async def handler(arrival: Arrival) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    house = await serve(handler)
    client = await house.connect()
    client.send(house.get())
    await house.until(lambda: len(house.arrivals) == 1)
    await house.listener.drain(0.01)
    async with asyncio.timeout(10):
        await cancelled.wait()
    assert house.listener.connections() == []


async def test_workers_share_a_port_and_a_bound_socket_is_taken_over() -> None:
    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], b"x")

    async def refuse(trail: object, refusal: object) -> Reply:
        return Reply(400, [])

    tasks = Tasks(lambda error: None)
    more = {"refuse": refuse, "clock": SYSTEM, "tasks": tasks, "new_id": lambda: "i", "on_error": lambda *_: None}
    sock = bound("127.0.0.1", 0, reuse_port=True)
    first = await listen(HttpConfig(), handler, sock=sock, **more)
    second = await listen(HttpConfig(port=first.port), handler, reuse_port=True, **more)
    assert first.port == second.port != 0
    with pytest.raises(OSError):
        await listen(HttpConfig(port=first.port), handler, **more)
    assert [s.getsockname() for s in first.sockets] == [("127.0.0.1", first.port)]
    await first.close()
    await second.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    folder: Path = tmp_path_factory.mktemp("tls")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / "cert.pem", folder / "key.pem"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return str(cert_file), str(key_file)


def trusting(certificate: tuple[str, str]) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate[0])


async def test_tls_is_1_3_with_hsts_and_knows_that_it_is_tls(serve, certificate: tuple[str, str]) -> None:
    """TLS-01, HTTP-11"""

    async def stream() -> AsyncIterator[bytes]:
        yield b"x" * 300_000

    async def handler(arrival: Arrival) -> Reply:
        assert arrival.is_tls
        return Reply(200, [], stream() if arrival.path == "/s" else await arrival.read())

    house = await serve(handler, tls={"cert_file": certificate[0], "key_file": certificate[1]})
    context = trusting(certificate)
    context.set_alpn_protocols(["h2", "http/1.1"])
    client = await house.connect(ssl=context, server_hostname="localhost")
    made = client.writer.get_extra_info("ssl_object")
    assert (made.version(), made.selected_alpn_protocol()) == ("TLSv1.3", "http/1.1")
    for size in (0, 10, 200_000):
        client.send(house.post(b"x" * size))
        status, headers, body = await client.answer()
        assert (status, len(body)) == (200, size)
        assert headers[b"strict-transport-security"].startswith(b"max-age=")
    client.send(house.get(b"/s"))
    await client.head()
    assert await client.chunk() == b"x" * 300_000


async def test_old_tls_and_plaintext_get_nothing(serve, certificate: tuple[str, str]) -> None:
    """TLS-01"""
    house = await serve(tls={"cert_file": certificate[0], "key_file": certificate[1]})
    old = trusting(certificate)
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await house.connect(ssl=old, server_hostname="localhost")
    assert b"HTTP" not in await house.ask(house.get())
    await house.until(lambda: not house.listener._door.seats)


async def test_a_handshake_takes_a_seat_and_gives_it_back(serve, certificate: tuple[str, str]) -> None:
    """RATE-06: half-open connections count, against each other and before all others."""
    tls = {"cert_file": certificate[0], "key_file": certificate[1]}
    house = await serve(max_connections=2, per_address_connections=1, tls=tls)
    silent = await house.connect()
    await house.until(lambda: bool(house.listener._door.seats))
    with pytest.raises((ConnectionError, ssl.SSLError)):
        await house.connect(ssl=trusting(certificate), server_hostname="localhost")
    others = [await house.connect(local_addr=(f"127.0.0.{number}", 0)) for number in (2, 3)]
    assert await silent.rest() == b""
    for client in others:
        client.close()
    await house.until(lambda: not house.listener._door.seats)
    client = await house.connect(ssl=trusting(certificate), server_hostname="localhost")
    client.send(house.get())
    assert (await client.answer())[0] == 200


async def test_a_silent_handshake_ends(serve, certificate: tuple[str, str]) -> None:
    """HTTP-05: the handshake has a bound as well."""
    house = await serve(header_timeout=0.2, tls={"cert_file": certificate[0], "key_file": certificate[1]})
    client = await house.connect()
    assert await client.rest() == b""
    await house.until(lambda: not house.listener._door.seats)


async def test_mutual_tls_needs_a_certificate(serve, certificate: tuple[str, str]) -> None:
    """TLS-02"""
    house = await serve(tls={"cert_file": certificate[0], "key_file": certificate[1], "client_ca_file": certificate[0]})
    client = await house.connect(ssl=trusting(certificate), server_hostname="localhost")
    client.send(house.get())
    with pytest.raises((ssl.SSLError, ConnectionError, asyncio.IncompleteReadError)):
        await client.answer()
    assert house.arrivals == []


def test_a_bad_address_leaves_no_socket_behind() -> None:
    taken = bound("127.0.0.1", 0, reuse_port=False)
    taken.listen()
    with pytest.raises(OSError):
        bound("127.0.0.1", taken.getsockname()[1], reuse_port=False)
    taken.close()
    assert isinstance(taken, socket.socket)


def test_a_port_that_is_taken_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}: Address already in use"):
            bound("127.0.0.1", port, reuse_port=False)


async def test_who_lingers_gets_one_more_answer_and_whoever_says_nothing_is_let_go(serve) -> None:
    """RES-05: closed at once, an idle connection might be one on which a request is just arriving."""

    async def handler(arrival: Arrival) -> Reply:
        return Reply(200, [], b"whole")

    house = await serve(handler)
    clients = [await house.connect(), await house.connect()]
    for client in clients:
        client.send(house.get())
        assert (await client.answer())[0] == 200
    async with asyncio.TaskGroup() as group:
        draining = group.create_task(house.listener.drain(30, 5.0))
        await house.until(lambda: not house.listener.sockets)
        with pytest.raises(OSError):
            await house.connect()
        clients[0].send(house.get())
        status, headers, body = await clients[0].answer()
        assert (status, body, headers[b"connection"]) == (200, b"whole", b"close")
        assert not draining.done()
        house.now_s += 6
        assert await clients[1].rest() == b""
    assert house.listener.connections() == []
