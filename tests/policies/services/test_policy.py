"""What becomes a call to a service, and what does not."""

from typing import Any

import pytest
from tests.policies.support import arrival

from mantlet.core import refusal as r
from mantlet.core.call import Arrival, Call, Reply
from mantlet.policies.services.policy import Services
from mantlet.policies.services.route import Route, Routes
from mantlet.wire.jsonrpc import Bounds

JSON = (b"content-type", b"application/json")
ROUTE = Route(
    name="dfs",
    prefix="/api/dfs",
    verbs=("GET", "HEAD", "POST", "DELETE"),
    media=frozenset({"application/json", "text/csv"}),
    max_body_bytes=100,
    max_json_bytes=50,
)


class Coming:
    """A body in parts."""

    def __init__(self, *parts: bytes, length: int | None = None) -> None:
        self.length, self.parts, self.max_bytes = length, list(parts), 0

    def admit(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        if (self.length or 0) > max_bytes:
            raise r.PayloadTooLarge

    async def part(self) -> bytes:
        return self.parts.pop(0) if self.parts else b""


def services(**more: Any) -> Services:
    slow = Route(**{**{name: getattr(ROUTE, name) for name in Route.__slots__}, "name": "slow", "prefix": "/api/slow",
                    "timeout_s": 300.0})  # fmt: skip
    return Services(Routes([ROUTE, slow]), bounds=Bounds(max_depth=8, max_keys=20), monotonic=lambda: 100.0)


def asked(path: str = "/api/dfs/files", verb: str = "GET", body: bytes = b"", **more: Any) -> Arrival:
    query, incoming = more.pop("query", b""), more.pop("incoming", None)
    made = arrival(verb=verb, path=path, **more)
    made.query, made.incoming, made.body = query, incoming, body or None
    return made


async def read(*args: Any, **more: Any) -> Call:
    return await services().read(asked(*args, **more))


async def test_a_call_says_whom_by_which_verb_and_of_what() -> None:
    call = await read("/api/dfs/files/a b", query=b"deep=1")
    assert (call.server, call.method, call.target, call.kind) == ("dfs", "GET", "/files/a b", "request")
    assert (call.trail.server, call.trail.action, call.trail.object) == ("dfs", "GET /api/dfs", "/files/a b")
    assert call.deadline_s == call.arrival.deadline_s


async def test_what_holds_for_get_holds_for_head() -> None:
    """AUTHZ-01"""
    call = await read(verb="HEAD")
    assert (call.method, call.arrival.verb, call.trail.action) == ("GET", "HEAD", "HEAD /api/dfs")


async def test_a_service_may_take_its_time() -> None:
    assert (await read("/api/slow/solve")).deadline_s == 400.0


async def test_what_is_for_nobody_here_goes_on() -> None:
    gone: list[Arrival] = []

    async def onward(item: Arrival) -> Reply:
        gone.append(item)
        return Reply(204, [])

    async def never(_: Call) -> Reply:
        raise AssertionError

    step = services().before(never)
    for path in ("/mcp", "/mcp/one", "/apix", "/api", "/"):
        await step(asked(path), onward)
    assert len(gone) == 5
    with pytest.raises(r.NotFound):
        await step(asked("/api/other/x"), onward)


async def test_nobody_gets_in_without_a_caller() -> None:
    """AUTHN-02"""
    with pytest.raises(r.Unauthenticated):
        await read(caller=None)


@pytest.mark.parametrize("verb", ["PUT", "OPTIONS", "get", "BREW", "TRACE"])
async def test_a_verb_that_is_not_listed_is_named_among_those_that_are(verb: str) -> None:
    """HTTP-08"""
    item = asked(verb=verb)
    with pytest.raises(r.MethodNotAllowed) as caught:
        await services().read(item)
    assert caught.value.allow == "GET, HEAD, POST, DELETE"
    assert item.trail.action == ""  # a word of the caller's own is no label


@pytest.mark.parametrize("name", [b"upgrade", b"sec-websocket-key", b"http2-settings"])
async def test_connections_are_not_upgraded(name: bytes) -> None:
    with pytest.raises(r.InvalidRequest):
        await read(fields=[(name, b"websocket")])


@pytest.mark.parametrize("query", [b"a=1&b=%C3%A4", b"a[]=1&a[]=2", b"q=a|b", b"x=%0D%0A", b"?", b"a=b;c"])
async def test_a_query_passes_as_it_is(query: bytes) -> None:
    assert (await read(query=query)).arrival.query == query


@pytest.mark.parametrize("query", [b"a=%", b"a=%0", b"a=%zz", b"a=%00", b"a=\\", b"a=\x80", b"a=1 2"])
async def test_a_query_with_two_readings_is_refused(query: bytes) -> None:
    """HTTP-10"""
    with pytest.raises(r.Malformed):
        await read(query=query)


async def test_json_that_came_whole_is_read_and_passed_on_as_it_came() -> None:
    """VAL-02"""
    call = await read(verb="POST", body=b'{"a" : 1}', fields=[JSON])
    assert (call.body, call.params) == (b'{"a" : 1}', {"arguments": {"a": 1}})


async def test_json_that_comes_in_parts_is_read_whole() -> None:
    incoming = Coming(b"[1,", b"2]")
    call = await read(verb="POST", incoming=incoming, fields=[JSON])
    assert (call.body, call.params, call.arrival.incoming) == (b"[1,2]", {"arguments": [1, 2]}, None)
    assert incoming.max_bytes == 50


async def test_any_other_body_is_left_where_it_is() -> None:
    incoming = Coming(b"a;b\n", length=4)
    call = await read(verb="POST", incoming=incoming, fields=[(b"content-type", b"text/csv")])
    assert (call.body, call.arrival.incoming, incoming.parts, incoming.max_bytes) == (b"", incoming, [b"a;b\n"], 100)


async def test_a_body_of_no_bytes_needs_no_type() -> None:
    assert (await read(verb="DELETE")).body == b""
    assert (await read(verb="POST", fields=[JSON])).body == b""


DEEP = b"[" * 9 + b"]" * 9


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b'{"a":1,"a":2}',
        b'{"a":1,"\\u0061":2}',
        b"\xff",
        b"NaN",
        b"1e999",
        b'"\\ud800"',
        DEEP,
        b" ",
        b"\xef\xbb\xbf{}",
    ],
)
async def test_json_with_two_readings_is_refused(body: bytes) -> None:
    """VAL-01, VAL-02"""
    with pytest.raises(r.InvalidJson):
        await read(verb="POST", body=body, fields=[JSON])


@pytest.mark.parametrize("content_type", [b"text/plain", b"application/x-www-form-urlencoded", b"application/xml", b""])
async def test_types_that_are_not_listed_are_refused(content_type: bytes) -> None:
    """HTTP-08"""
    with pytest.raises(r.UnsupportedMediaType):
        await read(verb="POST", body=b"x", fields=[(b"content-type", content_type)] if content_type else [])


@pytest.mark.parametrize("verb", ["GET", "HEAD"])
async def test_verbs_whose_bodies_mean_nothing_have_none(verb: str) -> None:
    """HTTP-04"""
    for more in ({"body": b"{}"}, {"incoming": Coming(b"{}")}):
        with pytest.raises(r.InvalidRequest):
            await read(verb=verb, fields=[JSON], **more)


@pytest.mark.parametrize(
    ("content_type", "size", "fits"),
    [(b"text/csv", 100, True), (b"text/csv", 101, False), (JSON[1], 50, True), (JSON[1], 51, False)],
)
async def test_bodies_have_bounds_of_their_own(content_type: bytes, size: int, fits: bool) -> None:
    """HTTP-06"""
    body = b'"' + b"x" * (size - 2) + b'"'
    fields = [(b"content-type", content_type)]
    for more in ({"body": body}, {"incoming": Coming(body, length=size)}):
        if fits:
            await read(verb="POST", fields=fields, **more)
        else:
            with pytest.raises(r.PayloadTooLarge):
                await read(verb="POST", fields=fields, **more)
