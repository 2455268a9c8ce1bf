"""A head that came before is recognised by all of its bytes but the digits of its length, and by nothing less."""

import pytest

from mantlet.core.headers import Headers
from mantlet.listeners.http import request
from mantlet.listeners.http.repeated import MAX_HEADS, MAX_KEPT, Budget, Known, Repeated

HEAD = b"POST /mcp/a HTTP/1.1\r\nhost: x\r\nauthorization: Bearer t\r\ncontent-length: 12\r\nmcp-name: b\r\n\r\n"


def known(block: bytes) -> Known:
    read = request.parse(block, max_target_bytes=100, max_headers=20)
    return Known(read.verb, read.target.decode(), b"", read.headers, "192.0.2.1")


def kept(*blocks: bytes, budget: Budget | None = None) -> Repeated:
    repeated = Repeated(budget or Budget())
    for block in blocks:
        repeated.keep(block, known(block))
    return repeated


def test_the_same_head_is_known_with_any_length_of_body() -> None:
    found = kept(HEAD).find(HEAD.replace(b"12", b"345"), 345)
    assert found is not None
    assert found.path == "/mcp/a"
    assert found.headers.get(b"mcp-name") == b"b"
    assert b"content-length" not in found.headers


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (b"12", b"013x"),
        (b"12", b"+13"),
        (b"12", b"13 "),
        (b"12", b"0000000000000013"),
        (b"content-length", b"Content-Length"),
        (b"Bearer t", b"Bearer u"),
        (b"/mcp/a", b"/mcp/b"),
        (b"POST", b"GET"),
        (b"mcp-name: b", b"mcp-name: b\r\ncontent-length: 13"),
        (b"mcp-name: b", b"mcp-name: b\r\ntransfer-encoding: chunked"),
    ],
)
def test_a_head_that_differs_is_not_known(ours: bytes, theirs: bytes) -> None:
    """HTTP-04, AUTHN-06: what is not equal is read anew."""
    assert kept(HEAD).find(HEAD.replace(ours, theirs), 13) is None


def test_a_head_whose_length_says_something_else_is_not_known() -> None:
    assert kept(HEAD).find(HEAD, 11) is None


@pytest.mark.parametrize(
    "head",
    [
        b"POST / HTTP/1.1\r\nhost: x\r\nnote: content-length: 12\r\ncontent-length: 12\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\nx-content-length: 12\r\ncontent-length: 12\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length:12\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length:  12\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\nnote: " + b"n" * 3000 + b"\r\ncontent-length: 12\r\n\r\n",
    ],
)
def test_only_heads_that_show_their_length_plainly_are_kept(head: bytes) -> None:
    assert kept(head).find(head, 12) is None


def test_a_connection_keeps_few_heads_and_a_listener_a_bounded_number() -> None:
    budget = Budget()
    repeated = kept(*(HEAD.replace(b"/a", b"/%d" % number) for number in range(3 * MAX_HEADS)), budget=budget)
    assert budget.kept <= MAX_HEADS
    repeated.forget()
    assert budget.kept == 0
    budget.kept = MAX_KEPT
    assert kept(HEAD, budget=budget).find(HEAD, 12) is None


def test_what_depends_on_the_fields_alone_is_worked_out_once() -> None:
    asked = []

    def read(headers: Headers) -> bytes | None:
        asked.append(headers)
        return headers.get(b"a")

    headers = Headers([(b"a", b"b")])
    assert [headers.once(read), headers.once(read)] == [b"b", b"b"]
    assert asked == [headers]
