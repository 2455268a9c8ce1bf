"""Connections that a load balancer brings (HTTP-09, HTTP-05, RATE-06)."""

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mantlet.keys.certificates import make_authority, make_server
from mantlet.listeners.proxy_protocol.header import SIGNATURE

PROXIES = {"trusted_proxies": ["127.0.0.1"], "proxy_protocol": "required"}


def proxied(source: str = "192.0.2.7", command: int = 0x21) -> bytes:
    address = ipaddress.ip_address(source)
    family = 0x11 if address.version == 4 else 0x21
    rest = address.packed * 2 + b"\x00\x01\x00\x02"
    return SIGNATURE + bytes([command, family]) + len(rest).to_bytes(2, "big") + rest


async def test_the_client_is_who_the_header_says(serve) -> None:
    house = await serve(**PROXIES)
    client = await house.connect()
    client.send(proxied("2001:db8::9") + house.get() + house.post(b"abc"))
    assert [(await client.answer())[0] for _ in range(2)] == [200, 200]
    assert [arrival.peer for arrival in house.arrivals] == ["2001:db8::9"] * 2
    assert [info.peer for info in house.listener.connections()] == ["2001:db8::9"]
    assert house.listener._door.seats.by_peer == {"2001:db8::9": 1}
    client.close()
    await house.until(lambda: not house.listener._door.seats)


async def test_a_header_may_trickle_and_not_a_byte_of_what_follows_is_lost(serve) -> None:
    house = await serve(**PROXIES)
    client = await house.connect()
    for byte in proxied():
        client.send(bytes([byte]))
        await client.writer.drain()
    client.send(house.get())
    assert (await client.answer())[0] == 200


async def test_a_balancer_that_speaks_for_itself_is_itself(serve) -> None:
    """Health checks come with the command LOCAL."""
    house = await serve(**PROXIES)
    client = await house.connect()
    client.send(proxied(command=0x20) + house.get())
    assert (await client.answer())[0] == 200
    assert house.arrivals[0].peer == "127.0.0.1"


async def test_forwarded_headers_count_only_from_a_client_that_is_a_proxy_too(serve) -> None:
    house = await serve(proxy_protocol="required", trusted_proxies=["127.0.0.1", "10.0.0.0/8"])
    for source, expected in (("192.0.2.7", "192.0.2.7"), ("10.0.0.5", "198.51.100.1")):
        client = await house.connect()
        client.send(proxied(source) + house.get(fields=b"X-Forwarded-For: 198.51.100.1\r\n"))
        assert (await client.answer())[0] == 200
        assert house.arrivals[-1].peer == expected


@pytest.mark.parametrize(
    "beginning", [b"GET / HTTP/1.1\r\n", b"PROXY TCP4 192.0.2.7 10.0.0.1 1 2\r\n", b"\x16\x03\x01" + bytes(20)]
)
async def test_without_a_header_nobody_gets_a_byte(serve, beginning: bytes) -> None:
    house = await serve(**PROXIES)
    assert await house.ask(beginning + house.get()) == b""
    await house.until(lambda: not house.listener._door.seats)
    assert house.arrivals == []


async def test_others_than_the_proxies_are_turned_away(serve) -> None:
    house = await serve(proxy_protocol="required", trusted_proxies=["10.0.0.0/8"])
    assert await house.ask(proxied() + house.get()) == b""
    assert not house.listener._door.seats


async def test_a_header_that_never_comes_has_a_deadline(serve) -> None:
    """HTTP-05"""
    house = await serve(header_timeout=0.2, **PROXIES)
    client = await house.connect()
    client.send(proxied()[:20])
    assert await client.rest() == b""
    await house.until(lambda: not house.listener._door.seats)


async def test_caps_are_for_clients_and_not_for_who_brings_them(serve) -> None:
    """RATE-06"""
    house = await serve(per_address_connections=1, **PROXIES)
    first, second, third = [await house.connect() for _ in range(3)]
    first.send(proxied("192.0.2.1") + house.get())
    assert (await first.answer())[0] == 200
    second.send(proxied("192.0.2.1") + house.get())
    assert await second.rest() == b""
    third.send(proxied("192.0.2.2") + house.get())
    assert (await third.answer())[0] == 200


async def test_a_forwarding_proxy_is_under_the_whole_cap_only(serve) -> None:
    """RATE-06: it brings the connections of many."""
    house = await serve(per_address_connections=1, max_connections=3, trusted_proxies=["127.0.0.1"])
    clients = [await house.connect() for _ in range(4)]
    for client in clients[:3]:
        client.send(house.get())
        assert (await client.answer())[0] == 200
    assert (await clients[3].answer())[0] == 503


async def test_tls_stands_behind_the_header(serve, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    root = make_authority("test", 2, now)
    made = make_server(root, ["localhost"], 1, now)
    for name, text in (("ca.pem", root.certificate), ("s.pem", made.certificate), ("s.key", made.key)):
        (tmp_path / name).write_text(text)
    tls = {"cert_file": str(tmp_path / "s.pem"), "key_file": str(tmp_path / "s.key")}
    house = await serve(tls=tls, **PROXIES)
    client = await house.connect()
    client.send(proxied())
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    await client.writer.start_tls(context, server_hostname="localhost")
    client.send(house.get())
    assert (await client.answer())[0] == 200
    assert (house.arrivals[0].peer, house.arrivals[0].is_tls) == ("192.0.2.7", True)
    assert b"HTTP" not in await house.ask(proxied() + house.get())
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await house.connect(ssl=context, server_hostname="localhost")


async def test_the_named_header_is_read_and_the_other_is_not(serve) -> None:
    """HTTP-09: a proxy passes on the header that it does not write as its client sent it."""
    both = b"X-Forwarded-For: 198.51.100.1\r\nForwarded: for=198.51.100.2\r\n"
    for named, expected in (("x-forwarded-for", "198.51.100.1"), ("forwarded", "198.51.100.2")):
        house = await serve(forwarded=named, trusted_proxies=["127.0.0.1"])
        client = await house.connect()
        client.send(house.get(fields=both))
        assert (await client.answer())[0] == 200
        assert house.arrivals[0].peer == expected


async def test_close_gives_up_on_half_open_connections(serve) -> None:
    house = await serve(**PROXIES)
    client = await house.connect()
    await house.until(lambda: bool(house.listener._door.seats))
    await house.listener.close()
    assert await client.rest() == b""
    assert not house.listener._door.seats
