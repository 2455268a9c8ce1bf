"""What a header list may be (RFC 9113 sections 8.2 and 8.3; HTTP-01, HTTP-02, HTTP-06)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantlet.core.refusal import HeadersTooLarge, Malformed, MethodNotAllowed, Refusal, TargetTooLong
from mantlet.listeners.http.request import Request
from mantlet.listeners.http2.head import parse

GOOD = [(b":method", b"POST"), (b":scheme", b"https"), (b":authority", b"a.example"), (b":path", b"/mcp?x=1")]


def read(fields: list[tuple[bytes, bytes]]) -> Request:
    return parse(fields, max_target_bytes=100, max_headers=10, max_header_bytes=1000)


def without(name: bytes) -> list[tuple[bytes, bytes]]:
    return [field for field in GOOD if field[0] != name]


def instead(name: bytes, value: bytes) -> list[tuple[bytes, bytes]]:
    return [(field[0], value) if field[0] == name else field for field in GOOD]


def test_a_request_is_what_http_1_makes_of_it() -> None:
    request = read([*GOOD, (b"te", b"trailers"), (b"content-length", b"7"), (b"x", b"")])
    assert (request.verb, request.target, request.framing.length) == ("POST", b"/mcp?x=1", 7)
    assert list(request.headers) == [(b"host", b"a.example"), (b"content-length", b"7"), (b"x", b"")]


def test_the_host_may_be_said_twice_alike_or_once() -> None:
    assert read([*GOOD, (b"host", b"A.example")]).headers.get(b"host") == b"A.example"
    assert read([*without(b":authority"), (b"host", b"a.example")]).headers.get(b"host") == b"a.example"


@pytest.mark.parametrize(
    "bad",
    [
        without(b":method"),
        without(b":scheme"),
        without(b":path"),
        without(b":authority"),
        instead(b":method", b""),
        instead(b":method", b"GET "),
        instead(b":method", b"G" * 33),
        instead(b":scheme", b"http"),
        instead(b":scheme", b"HTTPS"),
        instead(b":path", b""),
        instead(b":path", b"mcp"),
        instead(b":path", b"https://a.example/mcp"),
        instead(b":path", b"*"),
        instead(b":path", b"/a b"),
        instead(b":path", b"/a\r\nx: y"),
        instead(b":path", b"/\xc3\xa4"),
        instead(b":authority", b""),
        instead(b":authority", b"u@a.example"),
        instead(b":authority", b"a.example, b.example"),
        *([*GOOD, field] for field in GOOD),
        [*GOOD, (b":status", b"200")],
        [*GOOD, (b":protocol", b"websocket")],
        [*GOOD, (b":x", b"y")],
        [GOOD[0], (b"x", b"y"), *GOOD[1:]],
        [(b"cookie", b"y"), *GOOD],
        [*GOOD, (b"host", b"b.example")],
        [*GOOD, (b"host", b"a.example"), (b"host", b"a.example")],
        [*GOOD, (b"X", b"y")],
        [*GOOD, (b"", b"y")],
        [*GOOD, (b"x y", b"y")],
        [*GOOD, (b"x:", b"y")],
        [*GOOD, (b"x\n", b"y")],
        [*GOOD, (b"x", b" y")],
        [*GOOD, (b"x", b"y\t")],
        [*GOOD, (b"x", b"a\r\nb")],
        [*GOOD, (b"x", b"a\0b")],
        [*GOOD, (b"x", b"a\x7fb")],
        [*GOOD, (b"connection", b"close")],
        [*GOOD, (b"keep-alive", b"1")],
        [*GOOD, (b"proxy-connection", b"close")],
        [*GOOD, (b"transfer-encoding", b"chunked")],
        [*GOOD, (b"upgrade", b"websocket")],
        [*GOOD, (b"te", b"gzip")],
        [*GOOD, (b"content-length", b"+1")],
        [*GOOD, (b"content-length", b"1"), (b"content-length", b"1")],
        [*GOOD, (b"origin", b"a"), (b"origin", b"b")],
        [*GOOD, (b"expect", b"tea")],
        [(b":method", b"CONNECT"), (b":authority", b"a:1"), (b":authority", b"a:1")],
    ],
)
def test_what_has_no_single_reading_is_refused(bad: list[tuple[bytes, bytes]]) -> None:
    with pytest.raises(Malformed):
        read(bad)


def test_limits() -> None:
    with pytest.raises(TargetTooLong):
        read(instead(b":path", b"/" * 101))
    with pytest.raises(HeadersTooLarge):
        read([*GOOD, *[(b"x", b"y")] * 11])
    with pytest.raises(HeadersTooLarge):
        read([*GOOD, (b"x", b"y" * 900)])
    with pytest.raises(MethodNotAllowed):
        read([(b":method", b"CONNECT"), (b":authority", b"a.example:22")])


FIELD = st.tuples(
    st.sampled_from(
        [b":method", b":path", b":authority", b":scheme", b"host", b"cookie", b"x", b"te", b"content-length"]
    )
    | st.binary(max_size=6),
    st.sampled_from([b"GET", b"/", b"a", b"https", b"trailers", b"3"]) | st.binary(max_size=8),
)


@given(st.lists(FIELD, max_size=8))
def test_nothing_but_a_refusal_comes_of_noise(fields: list[tuple[bytes, bytes]]) -> None:
    try:
        request = read(fields)
    except Refusal:
        return
    names = [name for name, _ in request.headers]
    assert names.count(b"host") == 1
    assert not [name for name in names if name.startswith(b":") or name != name.lower()]
    assert not [value for _, value in request.headers if set(value) & set(b"\r\n\0")]
