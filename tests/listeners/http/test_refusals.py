"""What never reaches the path: ambiguous, misdirected and oversized requests (HTTP-02 … HTTP-08, HTTP-10)."""

import pytest

from mantlet.core.refusal import Malformed
from mantlet.listeners.http import HttpConfig, TlsConfig

H = b"@HOST@"
AMBIGUOUS = {
    "cl_te": b"POST / HTTP/1.1\r\n@HOST@Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te_cl": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two_cl": b"POST / HTTP/1.1\r\n@HOST@Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "cl_list": b"POST / HTTP/1.1\r\n@HOST@Content-Length: 5, 5\r\n\r\nhello",
    "cl_plus": b"POST / HTTP/1.1\r\n@HOST@Content-Length: +5\r\n\r\nhello",
    "cl_minus": b"POST / HTTP/1.1\r\n@HOST@Content-Length: -5\r\n\r\nhello",
    "cl_hex": b"POST / HTTP/1.1\r\n@HOST@Content-Length: 0x5\r\n\r\nhello",
    "cl_huge": b"POST / HTTP/1.1\r\n@HOST@Content-Length: 99999999999999999999\r\n\r\nhello",
    "te_gzip": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "te_case": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    "te_twice": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te_folded": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "te_tab_folded": b"POST / HTTP/1.1\r\n@HOST@X: a\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te_http10": b"POST / HTTP/1.0\r\n@HOST@Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "te_space_colon": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "te_vtab": b"POST / HTTP/1.1\r\n@HOST@Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "bare_lf": b"GET / HTTP/1.1\n@HOST@\r\n\r\n",
    "bare_lf_only": b"GET / HTTP/1.1\nHost: a\n\n",
    "bare_lf_field": b"GET / HTTP/1.1\r\n@HOST@A: b\nC: d\r\n\r\n",
    "bare_cr": b"GET / HTTP/1.1\r\n@HOST@A: b\rC: d\r\n\r\n",
    "nul": b"GET / HTTP/1.1\r\n@HOST@A: b\x00\r\n\r\n",
    "no_host": b"GET / HTTP/1.1\r\n\r\n",
    "no_host_1_0": b"GET / HTTP/1.0\r\n\r\n",
    "two_hosts": b"GET / HTTP/1.1\r\n@HOST@@HOST@\r\n",
    "bad_host": b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "host_userinfo": b"GET / HTTP/1.1\r\nHost: x@127.0.0.1\r\n\r\n",
    "empty_host": b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    "absolute_other": b"GET http://evil.example/ HTTP/1.1\r\n@HOST@\r\n",
    "traversal": b"GET /a/%2e%2e/b HTTP/1.1\r\n@HOST@\r\n",
    "double": b"GET /%252e%252e/b HTTP/1.1\r\n@HOST@\r\n",
    "slash": b"GET /a%2fb HTTP/1.1\r\n@HOST@\r\n",
    "backslash": b"GET /a\\b HTTP/1.1\r\n@HOST@\r\n",
    "parameter": b"GET /a;b HTTP/1.1\r\n@HOST@\r\n",
    "nul_path": b"GET /a%00 HTTP/1.1\r\n@HOST@\r\n",
    "fragment": b"GET /a#b HTTP/1.1\r\n@HOST@\r\n",
    "http2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "http09": b"GET /\r\n\r\n",
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "expect": b"POST / HTTP/1.1\r\n@HOST@Expect: tea\r\nContent-Length: 1\r\n\r\nx",
    "leading_crlf": b"\r\nGET / HTTP/1.1\r\n@HOST@\r\n",
}


@pytest.mark.parametrize("name", AMBIGUOUS)
async def test_ambiguous_requests_are_refused_and_the_connection_closed(serve, name: str) -> None:
    """HTTP-01, HTTP-02, HTTP-04, HTTP-10: 400, `Connection: close`, and a smuggled second request is not seen."""
    house = await serve()
    smuggled = house.get(b"/smuggled")
    answer = await house.ask(AMBIGUOUS[name].replace(H, house.host) + smuggled)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert b"\r\nconnection: close\r\n" in answer
    assert house.arrivals == []
    assert [type(refusal) for _, refusal in house.refusals] == [Malformed]


BAD_CHUNKS = {
    "bare_lf": b"3\nabc\r\n0\r\n\r\n",
    "bad_end": b"3\r\nabcd\r\n0\r\n\r\n",
    "extension": b"3;a=b\r\nabc\r\n0\r\n\r\n",
    "huge": b"fffffffff\r\nabc",
    "sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "trailer": b"3\r\nabc\r\n0\r\nX-Admin: 1\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD_CHUNKS)
async def test_badly_framed_chunks_are_refused_and_the_connection_closed(serve, name: str) -> None:
    """HTTP-04"""
    house = await serve()
    head = b"POST / HTTP/1.1\r\n" + house.host + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = await house.ask(head + BAD_CHUNKS[name] + house.get(b"/smuggled"))
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1
    assert house.bodies == []
    assert [arrival.path for arrival in house.arrivals] == ["/"]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        (b"Host: evil.example\r\n", 421),
        (b"@HOST@Origin: https://evil.example\r\n", 403),
        (b"@HOST@Origin: null\r\n", 403),
        (b"@HOST@Content-Encoding: gzip\r\n", 415),
        (b"@HOST@Content-Encoding: gzip, identity\r\n", 415),
    ],
)
async def test_refused_heads_leave_the_connection_in_step(serve, fields: bytes, status: int) -> None:
    """HTTP-02, HTTP-03, HTTP-07"""
    house = await serve()
    client = await house.connect()
    client.send(b"POST /x HTTP/1.1\r\n" + fields.replace(H, house.host) + b"Content-Length: 5\r\n\r\n")
    assert (await client.answer())[0] == status
    assert house.arrivals == []
    client.send(b"hello" + house.get(b"/next"))
    assert (await client.answer())[0] == 200
    assert [arrival.path for arrival in house.arrivals] == ["/next"]


@pytest.mark.parametrize("method", [b"TRACE", b"CONNECT"])
async def test_trace_and_connect_have_no_effect(serve, method: bytes) -> None:
    """HTTP-08"""
    house = await serve()
    client = await house.connect()
    client.send(method + b" /x HTTP/1.1\r\n" + house.host + b"Connection: close\r\n\r\n")
    status, headers, body = await client.answer()
    assert status == 405
    assert b"POST" in headers[b"allow"]
    assert b"Host" not in body
    assert house.arrivals == []


async def test_an_upgrade_is_ignored(serve) -> None:
    """HTTP-08"""
    house = await serve()
    client = await house.connect()
    client.send(
        house.post(b"hi", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
    )
    assert (await client.answer())[::2] == (200, b"hi")


async def test_large_heads_are_refused_while_they_come(serve) -> None:
    """HTTP-06"""
    house = await serve()
    client = await house.connect()
    client.send(b"GET /" + b"a" * 9000)  # no end in sight
    assert (await client.answer())[0] == 414
    client = await house.connect()
    client.send(b"GET / HTTP/1.1\r\nA: " + b"a" * 33000)
    assert (await client.answer())[0] == 431
    assert (await house.ask(b"GET /" + b"a" * 8200 + b" HTTP/1.1\r\n" + house.host + b"\r\n")).startswith(
        b"HTTP/1.1 414"
    )
    assert (await house.ask(house.get(fields=b"A: b\r\n" * 100))).startswith(b"HTTP/1.1 431")
    assert (await house.ask(house.get(fields=b"A: " + b"b" * 33000 + b"\r\n"))).startswith(b"HTTP/1.1 431")
    assert house.arrivals == []


async def test_a_body_too_large_by_its_length_is_refused_before_it_comes(serve) -> None:
    """HTTP-06"""
    house = await serve(max_body_bytes=1000)
    client = await house.connect()
    client.send(b"POST / HTTP/1.1\r\n" + house.host + b"Content-Length: 1001\r\n\r\n")
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (413, b"close")
    assert house.arrivals == []
    assert await client.rest() == b""


async def test_a_chunked_body_too_large_is_refused_while_it_comes(serve) -> None:
    """HTTP-06: the client goes on sending and still gets to read why."""
    house = await serve(max_body_bytes=1000)
    client = await house.connect()
    client.send(
        b"POST / HTTP/1.1\r\n"
        + house.host
        + b"Transfer-Encoding: chunked\r\n\r\n"
        + b"1f4\r\n%b\r\n" % (b"x" * 500) * 3
    )
    status, headers, _ = await client.answer()
    assert (status, headers[b"connection"]) == (413, b"close")
    assert house.bodies == []
    client.send(b"1f4\r\n%b\r\n" % (b"x" * 500) * 100)
    assert await client.rest() == b""


async def test_every_refusal_has_its_record(serve) -> None:
    house = await serve()
    await house.ask(house.get(fields=b"A : b\r\nX-Request-Id: mine\r\n"))
    client = await house.connect()
    client.send(house.get(fields=b"Origin: null\r\nX-Request-Id: mine\r\n"))
    _, headers, _ = await client.answer()
    (first, _), (second, _) = house.refusals
    assert (first.request_id, first.door, first.peer) == ("id-1", "http", "127.0.0.1")
    assert (second.request_id, second.client_request_id) == ("id-2", "mine")
    assert headers[b"x-request-id"] == b"id-2"


@pytest.mark.parametrize(
    "section",
    [
        {"allowed_hosts": ("*",)},
        {"allowed_hosts": ("*.example",)},
        {"trusted_proxies": ("0.0.0.0/0",)},
        {"trusted_proxies": ("::/0",)},
        {"trusted_proxies": ("proxy",)},
        {"cors_origins": ("*",), "cors_credentials": True},
        {"cors_origins": ("*", "https://a.example")},
    ],
)
def test_config_that_would_open_the_door_is_refused(section: dict[str, object]) -> None:
    with pytest.raises(ValueError):
        HttpConfig(**section)
    with pytest.raises(ValueError):
        TlsConfig(cert_file="x")
    with pytest.raises(ValueError):
        TlsConfig(client_ca_file="x")
