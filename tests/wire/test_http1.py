"""Request heads that have one reading, and their malformed twins (HTTP-01, HTTP-02, HTTP-04, HTTP-06, HTTP-10)."""

import contextlib
import re
import time

import httptools
import pytest
from hypothesis import given, strategies

from mantlet.core.headers import Headers
from mantlet.core.refusal import HeadersTooLarge, Malformed, TargetTooLong
from mantlet.wire import http1


def line_of(block: bytes) -> tuple[bytes, bytes, bool]:
    method, target, is_http10, _ = http1.read(block, max_target_bytes=100, max_headers=4)
    return method.encode(), target, is_http10


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", (b"GET", b"/", False)),
        (b"POST /mcp?x=1 HTTP/1.0\r\nHost:a\r\nX: \tv \r\n\r\n", (b"POST", b"/mcp?x=1", True)),
        (b"GET / HTTP/1.1\r\nX-Empty:\r\n\r\n", (b"GET", b"/", False)),
        (b"GET / HTTP/1.1\r\nX: caf\xe9\r\n\r\n", (b"GET", b"/", False)),
    ],
)
def test_a_well_formed_block_gives_its_request_line(block: bytes, expected: tuple[bytes, bytes, bool]) -> None:
    assert line_of(block) == expected


@pytest.mark.parametrize(
    "block",
    [
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\x7f\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization: a\rb\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization: a\nb\r\n\r\n",
        b"GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization: a\x00b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: a\r\n\tb\r\n\r\n",
        b"GET / HTTP/1.1\r\n X: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\t: a\r\n\r\n",
        b"GET / HTTP/1.1\r\n: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost\r\n\r\n",
        b"GET / HTTP/1.1\r\nH\xc3\xb6st: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHo(st: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xb6 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET /\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    ],
)
def test_a_block_with_two_readings_is_refused(block: bytes) -> None:
    """HTTP-04"""
    with pytest.raises(Malformed):
        line_of(block)


def test_long_targets_and_many_fields_are_refused() -> None:
    """HTTP-06"""
    with pytest.raises(TargetTooLong):
        line_of(b"GET /" + b"a" * 100 + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    with pytest.raises(HeadersTooLarge):
        line_of(b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 5 + b"\r\n")


def test_the_grammar_is_linear_in_hostile_bytes() -> None:
    """A quadratic pattern would take minutes here, and fail the suite by its time limit, not by a stopwatch."""
    for filler in (b" " * 1_000_000, b"a" * 1_000_000, b"a:" * 500_000, b"A: b\r\n" * 200_000):
        with pytest.raises((Malformed, HeadersTooLarge)):
            line_of(b"GET / HTTP/1.1\r\nX: " + filler + b"\x00\r\n\r\n")
    assert time.monotonic() > 0


@pytest.mark.parametrize(
    "buffer",
    [b"\n", b"\r\nGET", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: b\n", b"GET / HT\rT", b"GET /\x00", b"\x16\x03"],
)
def test_a_broken_beginning_is_refused_before_its_end_comes(buffer: bytes) -> None:
    """HTTP-04"""
    with pytest.raises(Malformed):
        http1.check_partial(buffer, 0, max_header_bytes=1000, max_target_bytes=100)


@pytest.mark.parametrize(
    "buffer", [b"", b"G", b"GET / HTTP/1.1\r", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r"]
)
def test_a_good_beginning_is_waited_for(buffer: bytes) -> None:
    http1.check_partial(buffer, 0, max_header_bytes=1000, max_target_bytes=100)
    http1.check_partial(buffer, len(buffer), max_header_bytes=1000, max_target_bytes=100)


def test_a_carriage_return_is_judged_with_the_byte_after_it() -> None:
    with pytest.raises(Malformed):
        http1.check_partial(b"GET / HTTP/1.1\rX", 15, max_header_bytes=1000, max_target_bytes=100)


def test_a_beginning_that_grows_too_large_is_refused() -> None:
    """HTTP-06"""
    with pytest.raises(TargetTooLong):
        http1.check_partial(b"GET /" + b"a" * 200, 0, max_header_bytes=1000, max_target_bytes=100)
    with pytest.raises(HeadersTooLarge):
        http1.check_partial(b"GET / HTTP/1.1\r\nA: " + b"a" * 1000, 0, max_header_bytes=1000, max_target_bytes=100)


class Llhttp:
    """What httptools makes of a head."""

    def __init__(self, block: bytes) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []
        parser = httptools.HttpRequestParser(self)
        with contextlib.suppress(httptools.HttpParserUpgrade):
            parser.feed_data(block)
        self.method = parser.get_method()
        self.version = parser.get_http_version()

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


NAME_BYTES = strategies.sampled_from(list(b"!#$%&'*+-.^_`|~09azAZ"))
VALUE_BYTES = strategies.sampled_from(list(b'\t !"#:;,=az09~\x80\xff'))


@given(
    strategies.sampled_from([b"GET", b"POST", b"OPTIONS", b"DELETE"]),
    strategies.lists(
        strategies.tuples(
            strategies.lists(NAME_BYTES, min_size=1, max_size=9), strategies.lists(VALUE_BYTES, max_size=9)
        ),
        max_size=4,
    ),
    strategies.sampled_from([b"0", b"1"]),
)
def test_what_is_accepted_is_read_the_same_by_llhttp(
    method: bytes, fields: list[tuple[list[int], list[int]]], minor: bytes
) -> None:
    """HTTP-04: two independent readers agree on method, target, version and every field."""
    lines = b"".join(bytes(name) + b":" + bytes(value) + b"\r\n" for name, value in fields)
    block = method + b" /a?b HTTP/1." + minor + b"\r\nHost: a\r\n" + lines + b"\r\n"
    read_method, target, is_http10, headers = http1.read(block, max_target_bytes=100, max_headers=100)
    other = Llhttp(block)
    assert (read_method.encode(), target, headers.fields) == (other.method, other.url, other.fields)
    assert is_http10 == (other.version == "1.0")


def test_lines_are_kept_only_when_harmless_and_never_without_bound() -> None:
    """AUD-06: no credential stays in memory because it was once read."""
    for number in range(http1.CACHED_LINES + 10):
        secret = b"Authorization: Bearer %d" % number
        block = b"GET /%d HTTP/1.1\r\nHost: a%d\r\n%b\r\n\r\n" % (number, number, secret)
        http1.read(block, max_target_bytes=100, max_headers=9)
    assert len(http1._field_lines) <= http1.CACHED_LINES
    assert len(http1._request_lines) <= http1.CACHED_LINES
    assert not [line for line in [*http1._field_lines, *http1._names] if b"earer" in line]
    assert len(http1._names) <= http1.CACHED_LINES
    with pytest.raises(Malformed):
        http1.read(b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", max_target_bytes=100, max_headers=9)


def frame(*fields: tuple[bytes, bytes], is_http10: bool = False) -> http1.Framing:
    return http1.framing(Headers([(b"host", b"a"), *fields]), is_http10=is_http10)


@pytest.mark.parametrize(
    ("fields", "is_http10", "expected"),
    [
        ([], False, (0, True, False)),
        ([], True, (0, False, False)),
        ([(b"connection", b"keep-alive")], True, (0, True, False)),
        ([(b"connection", b"Close")], False, (0, False, False)),
        ([(b"connection", b"foo, close")], False, (0, False, False)),
        ([(b"connection", b"foo"), (b"connection", b"close")], False, (0, False, False)),
        ([(b"content-length", b"12")], False, (12, True, False)),
        ([(b"content-length", b"0012")], False, (12, True, False)),
        ([(b"transfer-encoding", b"chunked")], False, (http1.CHUNKED, True, False)),
        ([(b"content-length", b"1"), (b"expect", b"100-Continue")], False, (1, True, True)),
        ([(b"content-length", b"1"), (b"expect", b"100-continue")], True, (1, False, False)),
    ],
)
def test_framing_with_one_reading(
    fields: list[tuple[bytes, bytes]], is_http10: bool, expected: tuple[int, bool, bool]
) -> None:
    found = frame(*fields, is_http10=is_http10)
    assert (found.length, found.is_persistent, found.expects_continue) == expected


@pytest.mark.parametrize(
    "fields",
    [
        [(b"content-length", b"1"), (b"transfer-encoding", b"chunked")],
        [(b"content-length", b"1"), (b"content-length", b"1")],
        [(b"content-length", b"1"), (b"content-length", b"2")],
        [(b"content-length", b"1, 1")],
        [(b"content-length", b"+1")],
        [(b"content-length", b"-1")],
        [(b"content-length", b"0x1")],
        [(b"content-length", b"1_0")],
        [(b"content-length", b"1 0")],
        [(b"content-length", b"")],
        [(b"content-length", b"9" * 16)],
        [(b"content-length", "٣".encode())],
        [(b"transfer-encoding", b"Chunked")],
        [(b"transfer-encoding", b"chunked, chunked")],
        [(b"transfer-encoding", b"identity")],
        [(b"transfer-encoding", b"gzip, chunked")],
        [(b"transfer-encoding", b"chunked;q=1")],
        [(b"transfer-encoding", b"xchunked")],
        [(b"transfer-encoding", b"")],
        [(b"transfer-encoding", b"chunked"), (b"transfer-encoding", b"chunked")],
        [(b"host", b"a")],
        [(b"origin", b"http://a"), (b"origin", b"http://a")],
        [(b"content-type", b"a/b"), (b"content-type", b"a/b")],
        [(b"content-encoding", b"identity"), (b"content-encoding", b"gzip")],
        [(b"expect", b"tea")],
    ],
)
def test_framing_with_two_readings_is_refused(fields: list[tuple[bytes, bytes]]) -> None:
    """HTTP-04"""
    with pytest.raises(Malformed):
        frame(*fields)


def test_transfer_encoding_in_http_1_0_is_refused() -> None:
    """HTTP-04"""
    with pytest.raises(Malformed):
        frame((b"transfer-encoding", b"chunked"), is_http10=True)


@pytest.mark.parametrize(
    "host", [b"a", b"a:1", b"a.b-c.example:65535", b"127.0.0.1", b"[::1]:8000", b"[::ffff:1.2.3.4]", b"x."]
)
def test_good_hosts(host: bytes) -> None:
    assert http1.is_host(host)


@pytest.mark.parametrize(
    "host",
    [
        b"",
        b":80",
        b"a:",
        b"a:b",
        b"a:65536",
        b"a b",
        b"a/b",
        b"a@b",
        b"a,b",
        b"[::1",
        b"::1",
        b"a..b",
        b"-a",
        b"a?b",
        b"a#",
        b"\xe4",
    ],
)
def test_malformed_hosts_are_refused(host: bytes) -> None:
    """HTTP-01, HTTP-02"""
    assert not http1.is_host(host)
    with pytest.raises(Malformed):
        http1.framing(Headers([(b"host", host)]), is_http10=False)


def test_a_missing_host_is_refused_in_http_1_0_too() -> None:
    """HTTP-02"""
    for is_http10 in (False, True):
        with pytest.raises(Malformed):
            http1.framing(Headers(), is_http10=is_http10)


@pytest.mark.parametrize(
    ("target", "path", "query"),
    [
        (b"/", "/", b""),
        (b"/mcp", "/mcp", b""),
        (b"/mcp?", "/mcp", b""),
        (b"/a/b/?x=%2f&y=..%2F;z", "/a/b/", b"x=%2f&y=..%2F;z"),
        (b"/caf%C3%A9%20x", "/café x", b""),
        (b"/a/...", "/a/...", b""),
        (b"/~u/:x@y", "/~u/:x@y", b""),
        (b"http://host:1/x?y", "/x", b"y"),
        (b"HTTPS://HOST:1", "/", b""),
        (b"http://host:1?y", "/", b"y"),
        (b"*", "*", b""),
    ],
)
def test_paths_are_decoded_once(target: bytes, path: str, query: bytes) -> None:
    """HTTP-01"""
    assert http1.path_of(target, b"host:1") == (path, query)


@pytest.mark.parametrize(
    "target",
    [
        b"/..",
        b"/a/../b",
        b"/./a",
        b"/%2e%2e/a",
        b"/.%2E/a",
        b"/%2e/a",
        b"/a%2fb",
        b"/a%2Fb",
        b"/a%5cb",
        b"/a\\b",
        b"/a;b=1",
        b"/a%3bb",
        b"/a%00",
        b"/a%0d%0ab",
        b"/a%7f",
        b"/a#f",
        b"/a%23f",
        b"/a?b#f",
        b"/a%3fb",
        b"/%252e%252e/a",
        b"/a%252fb",
        b"/a%25",
        b"/a%2",
        b"/a%zz",
        b"/a%",
        b"/%ff",
        b"/%c0%ae%c0%ae/",
        b"//evil.example/a",
        b"/a//b",
        b'/a"b',
        b"/a<b",
        b"/a|b",
        b"a",
        b"?x",
        b"host:1",
        b"**",
        b"http://other:1/x",
        b"http://host/x",
        b"http://user@host:1/x",
        b"http:///x",
        b"ftp://host:1/x",
        b"http://host:1/../x",
        b"http://host:1/x#f",
    ],
)
def test_paths_that_decode_differently_elsewhere_are_refused(target: bytes) -> None:
    """HTTP-10"""
    with pytest.raises(Malformed):
        http1.path_of(target, b"host:1")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", "4bf92f3577b34da6a3ce929d0e0e4736"),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more", ""),
        (b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""),
        (b"00-00000000000000000000000000000000-00f067aa0ba902b7-01", ""),
        (b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", ""),
        (b"00-4BF92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", ""),
        (b"x", ""),
    ],
)
def test_trace_ids_of_valid_traceparents(value: bytes, expected: str) -> None:
    assert http1.trace_id(Headers([(b"traceparent", value)])) == expected


def test_client_request_ids_are_bounded_and_printable() -> None:
    for value, expected in [(b"abc-1", "abc-1"), (b"a" * 129, ""), (b"a b", ""), (b"\xe9", ""), (b"", "")]:
        assert http1.client_request_id(Headers([(b"x-request-id", value)])) == expected
    assert re.fullmatch("", http1.client_request_id(Headers()))
