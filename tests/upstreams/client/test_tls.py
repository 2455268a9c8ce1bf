"""Outbound TLS against servers with the right and the wrong certificates (TLS-03, TLS-04)."""

import asyncio
import base64
import datetime
import ipaddress
import ssl
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from mantlet.core.clock import SYSTEM
from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.upstreams.client import HttpClient, TlsConfig, head, parse, prefix
from mantlet.upstreams.client.tls import read_pins, spki_digest

OTHER_PIN = "sha256/" + base64.b64encode(b"x" * 32).decode()


@dataclass
class Tls:
    """A server behind a self-signed certificate for 127.0.0.1, which counts request bytes."""

    port: int
    ca_file: str
    pin: str
    received: bytearray


async def start(where: Path, name: str) -> tuple[Tls, asyncio.Server]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(name))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (where / "cert.pem").write_bytes(pem)
    (where / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(where / "cert.pem", where / "key.pem")
    received = bytearray()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            received.extend(data)
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    pin = "sha256/" + base64.b64encode(spki_digest(certificate.public_bytes(serialization.Encoding.DER))).decode()
    return Tls(server.sockets[0].getsockname()[1], str(where / "cert.pem"), pin, received), server


async def fetch(port: int, tls: TlsConfig) -> bytes:
    client = HttpClient(parse(f"https://127.0.0.1:{port}/", is_plain_allowed=False), SYSTEM, tls=tls)
    try:
        start = prefix(b"GET", b"/", client.endpoint.authority, [])
        for _ in range(3):
            response = await client.send(head(start, [], None), deadline_s=time.monotonic() + 5)
        assert client.pool.opened == 1
        assert isinstance(response.body, bytes)
        return response.body
    finally:
        await client.close()


async def test_a_trusted_server_is_talked_to(tmp_path: Path) -> None:
    tls, server = await start(tmp_path, "127.0.0.1")
    assert await fetch(tls.port, TlsConfig(ca_file=tls.ca_file)) == b"ok"
    assert await fetch(tls.port, TlsConfig(ca_file=tls.ca_file, pins=[OTHER_PIN, tls.pin])) == b"ok"
    server.close()


async def test_an_unknown_authority_is_refused(tmp_path: Path) -> None:
    tls, server = await start(tmp_path, "127.0.0.1")
    with pytest.raises(BadUpstream):
        await fetch(tls.port, TlsConfig())
    assert not tls.received
    server.close()


async def test_another_name_is_refused(tmp_path: Path) -> None:
    tls, server = await start(tmp_path, "192.0.2.1")
    with pytest.raises(BadUpstream):
        await fetch(tls.port, TlsConfig(ca_file=tls.ca_file))
    assert not tls.received
    server.close()


async def test_a_key_that_is_not_pinned_sees_no_request(tmp_path: Path) -> None:
    """TLS-03"""
    tls, server = await start(tmp_path, "127.0.0.1")
    second = "sha256/" + base64.b64encode(b"y" * 32).decode()
    with pytest.raises(BadUpstream, match="pinned"):
        await fetch(tls.port, TlsConfig(ca_file=tls.ca_file, pins=[OTHER_PIN, second]))
    assert not tls.received
    server.close()


@pytest.mark.parametrize("pins", [[OTHER_PIN], [OTHER_PIN, OTHER_PIN], ["sha256/short", OTHER_PIN], ["x", OTHER_PIN]])
def test_pins_are_at_least_two_and_well_formed(pins: list[str]) -> None:
    with pytest.raises(ValueError, match=r"tls\.pins"):
        read_pins(pins)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://a/",
        "https://user:pw@a/",
        "https://a/#x",
        "https:///x",
        "https://a/b c",
        "https://a/\r\nx: y",
        "https://a/ä",
        "https://a:99999/",
        "//a/b",
    ],
)
def test_urls_that_are_refused(url: str) -> None:
    """EGR-03"""
    with pytest.raises(ValueError):
        parse(url, is_plain_allowed=True)


def test_plain_http_needs_leave() -> None:
    """TLS-04"""
    with pytest.raises(ValueError, match="https"):
        parse("http://127.0.0.1/", is_plain_allowed=False)


def test_an_url_is_taken_apart() -> None:
    endpoint = parse("https://[2001:DB8::1]:8443/a%2Fb/mcp?x=1", is_plain_allowed=False)
    assert (endpoint.host, endpoint.port, endpoint.authority) == ("2001:db8::1", 8443, b"[2001:db8::1]:8443")
    assert endpoint.target == b"/a%2Fb/mcp?x=1"
    assert parse("https://Example.com", is_plain_allowed=False).authority == b"example.com"


async def test_the_checked_address_is_the_one_connected_to() -> None:
    """EGR-01"""

    async def refuse(host: str, port: int) -> tuple[str, ...]:
        assert (host, port) == ("internal.example", 443)
        raise BadUpstream(why="not allowed")

    client = HttpClient(parse("https://internal.example/", is_plain_allowed=False), SYSTEM, resolve=refuse)
    with pytest.raises(Refusal, match="not allowed"):
        await client.send(b"GET / HTTP/1.1\r\n\r\n", deadline_s=time.monotonic() + 5)
