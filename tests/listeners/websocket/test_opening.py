"""Getting in: the opening handshake, Host and Origin, credentials and tickets."""

import json

import pytest
from tests.listeners.websocket.conftest import Serve
from tests.listeners.websocket.house import AUTHORIZED, KEY, OFFER, TOKEN, House, RawClient

from mantlet.core.refusal import AmbiguousCredentials, InvalidCredential

ORIGIN = b"Origin: https://app.example\r\n"


async def test_a_handshake_is_answered_as_the_standard_says(serve: Serve) -> None:
    """RFC 6455 section 1.3, with its own example."""
    house = await serve()
    fields = OFFER.replace(KEY, b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") + AUTHORIZED
    client = await house.knock(fields=fields + b"Sec-WebSocket-Protocol: other, mcp\r\n")
    assert client.status == 101
    assert client.headers[b"sec-websocket-accept"] == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert client.headers[b"sec-websocket-protocol"] == b"mcp"
    assert (client.headers[b"upgrade"], client.headers[b"connection"]) == (b"websocket", b"Upgrade")
    assert b"sec-websocket-extensions" not in client.headers
    client.say(id=1, method="ping", params={"a": 1})
    assert await client.message() == {"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}


async def test_no_subprotocol_is_spoken_unless_ours_is_offered(serve: Serve) -> None:
    house = await serve()
    client = await house.knock(fields=OFFER + AUTHORIZED + b"Sec-WebSocket-Protocol: graphql-ws\r\n")
    assert client.status == 101
    assert b"sec-websocket-protocol" not in client.headers


@pytest.mark.parametrize(
    ("path", "endpoint"), [(b"/ws", "/mcp"), (b"/ws/one", "/mcp/one"), (b"/ws/ticket", "/mcp/ticket")]
)
async def test_the_path_says_which_server(serve: Serve, path: bytes, endpoint: str) -> None:
    house = await serve()
    client = await house.ready(path)
    client.say(id=1, method="ping")
    await client.message()
    assert house.arrivals[0].path == endpoint


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b"Upgrade: websocket\r\n", b"", 426),
        (b"Upgrade: websocket", b"Upgrade: h2c", 426),
        (b"Connection: Upgrade", b"Connection: keep-alive", 426),
        (b"Version: 13", b"Version: 8", 426),
        (b"Sec-WebSocket-Version: 13\r\n", b"", 426),
        (KEY, b"", 400),
        (KEY, b"Sec-WebSocket-Key: c2hvcnQ=\r\n", 400),
        (KEY, b"Sec-WebSocket-Key: not base64!\r\n", 400),
        (KEY, KEY + KEY, 400),
        (KEY, KEY + b"Content-Length: 1\r\n", 400),
        (KEY, KEY + b"Transfer-Encoding: chunked\r\n", 400),
        (KEY, KEY + b"Sec-WebSocket-Protocol: a b\r\n", 400),
        (KEY, KEY + b"Sec-WebSocket-Protocol: " + b",".join([b"a"] * 17) + b"\r\n", 400),
    ],
)
async def test_a_handshake_that_is_not_one_is_refused(serve: Serve, old: bytes, new: bytes, status: int) -> None:
    house = await serve()
    client = await house.knock(fields=OFFER.replace(old, new) + AUTHORIZED)
    assert client.status == status
    if status == 426:
        assert (client.headers[b"upgrade"], client.headers[b"sec-websocket-version"]) == (b"websocket", b"13")
    assert not house.terms.open


async def test_only_http_11_can_be_upgraded(serve: Serve) -> None:
    house = await serve()
    client = await house.connect()
    client.send(house.hello().replace(b"HTTP/1.1", b"HTTP/1.0"))
    assert await client.head() in (400, 426)


async def test_other_methods_and_paths_are_refused_once_authenticated(serve: Serve) -> None:
    house = await serve()
    assert (await house.knock(b"/ws/nobody")).status == 404
    assert (await house.knock(b"/ws/workflow")).status == 501
    client = await house.connect()
    client.send(house.hello().replace(b"GET", b"PUT", 1))
    assert await client.head() == 405


@pytest.mark.parametrize("path", [b"/ws", b"/ws/one", b"/ws/nobody", b"/ws/workflow", b"/", b"/ws/ticket"])
async def test_a_stranger_learns_nothing_of_what_there_is(serve: Serve, path: bytes) -> None:
    """AUTHN-01, AUTHZ-04"""
    house = await serve()
    assert (await house.knock(path, OFFER)).status == 401
    assert (await house.knock(path, OFFER + b"Authorization: Bearer wrong\r\n")).status == 401
    assert not house.terms.open


async def test_a_foreign_host_is_refused_before_anything_else(serve: Serve) -> None:
    """HTTP-02"""
    house = await serve(allowed_hosts=["gateway.example"])
    assert (await house.knock(host=b"evil.example")).status == 421
    assert (await house.knock(host=b"gateway.example")).status == 101


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        (b"https://app.example", 101),
        (b"https://evil.example", 403),
        (b"https://app.example.evil.example", 403),
        (b"http://app.example", 403),
        (b"https://app.example:444", 403),
        (b"null", 403),
        (b"", 403),
    ],
)
async def test_only_pages_of_listed_origins_may_connect(serve: Serve, origin: bytes, status: int) -> None:
    """HTTP-03, CVE-2026-59950: a foreign page's handshake is refused before its credential is looked at."""
    house = await serve(allowed_origins=["https://app.example"])
    assert (await house.knock(fields=OFFER + AUTHORIZED + b"Origin: " + origin + b"\r\n")).status == status
    assert len(house.opened) == (1 if status == 101 else 0)


# --- tickets -------------------------------------------------------------------------------------------------------


async def ticket_of(
    house: House, origin: bytes = ORIGIN, fields: bytes = AUTHORIZED
) -> tuple[RawClient, dict[str, object]]:
    client = await house.connect()
    client.send(house.hello(b"/ws/ticket", fields + origin + b"Content-Length: 0\r\n").replace(b"GET", b"POST", 1))
    await client.head()
    body = await client.body()
    return client, json.loads(body) if client.status == 200 else {}


def shown(ticket: object) -> bytes:
    return b"Sec-WebSocket-Protocol: mcp, mantlet.ticket.%b\r\n" % str(ticket).encode()


async def test_a_page_gets_in_with_a_ticket_once(serve: Serve) -> None:
    """AUTHN-03, AUTHN-10"""
    house = await serve(allowed_origins=["https://app.example"])
    client, given = await ticket_of(house)
    assert client.headers[b"cache-control"] == b"no-store"
    assert client.headers[b"access-control-allow-origin"] == b"https://app.example"
    assert given["expires_in"] == 30
    assert len(str(given["ticket"])) >= 22  # 128 bits
    first = await house.knock(fields=OFFER + ORIGIN + shown(given["ticket"]))
    assert first.status == 101
    assert first.headers[b"sec-websocket-protocol"] == b"mcp"  # never the ticket
    first.say(id=1, method="ping")
    await first.message()
    assert house.arrivals[0].caller is not None
    assert house.arrivals[0].caller.subject == "alice"
    assert (await house.knock(fields=OFFER + ORIGIN + shown(given["ticket"]))).status == 401


async def test_a_ticket_is_bound_to_its_origin_and_spent_by_whoever_shows_it(serve: Serve) -> None:
    house = await serve(allowed_origins=["https://app.example", "https://other.example"])
    _, given = await ticket_of(house)
    other = b"Origin: https://other.example\r\n"
    assert (await house.knock(fields=OFFER + other + shown(given["ticket"]))).status == 401
    assert (await house.knock(fields=OFFER + ORIGIN + shown(given["ticket"]))).status == 401
    _, given = await ticket_of(house)
    assert (await house.knock(fields=OFFER + shown(given["ticket"]))).status == 401


async def test_a_ticket_ends_with_its_time(serve: Serve) -> None:
    house = await serve()
    _, given = await ticket_of(house, b"")
    house.now_s += 29
    assert (await house.knock(fields=OFFER + shown(given["ticket"]))).status == 101
    _, given = await ticket_of(house, b"")
    house.now_s += 31
    assert (await house.knock(fields=OFFER + shown(given["ticket"]))).status == 401


async def test_a_ticket_ends_with_the_credential_that_bought_it(serve: Serve) -> None:
    house = await serve()
    _, given = await ticket_of(house, b"")
    house.holders.clear()
    assert (await house.knock(fields=OFFER + shown(given["ticket"]))).status == 401


async def test_a_ticket_and_a_credential_are_one_too_many(serve: Serve) -> None:
    """AUTHN-02"""
    house = await serve()
    _, given = await ticket_of(house, b"")
    assert (await house.knock(fields=OFFER + AUTHORIZED + shown(given["ticket"]))).status == 400
    assert isinstance(house.refusals[-1], AmbiguousCredentials)
    two = shown(f"{given['ticket']}, mantlet.ticket.x")
    assert (await house.knock(fields=OFFER + two)).status == 400


async def test_a_ticket_alone_is_not_echoed(serve: Serve) -> None:
    house = await serve()
    _, given = await ticket_of(house, b"")
    alone = b"Sec-WebSocket-Protocol: mantlet.ticket.%b\r\n" % str(given["ticket"]).encode()
    assert (await house.knock(fields=OFFER + alone)).status == 400


@pytest.mark.parametrize("ticket", ["", "x", "a" * 32, "a" * 4000])
async def test_made_up_tickets_open_nothing(serve: Serve, ticket: str) -> None:
    house = await serve()
    client = await house.knock(fields=OFFER + shown(ticket))
    assert client.status == 401
    if ticket:
        assert isinstance(house.refusals[-1], InvalidCredential)


async def test_the_store_holds_neither_tickets_nor_whom_they_are_for(serve: Serve) -> None:
    house = await serve()
    _, given = await ticket_of(house, b"")
    kept = repr(house.state._values)
    assert str(given["ticket"]) not in kept
    assert "alice" not in kept


async def test_a_ticket_costs_a_credential(serve: Serve) -> None:
    house = await serve()
    client, _ = await ticket_of(house, b"", b"")
    assert client.status == 401
    assert len(house.state) == 0


async def test_a_token_in_the_url_opens_nothing(serve: Serve) -> None:
    """AUTHN-03"""
    house = await serve()
    assert (await house.knock(b"/ws?token=" + TOKEN, OFFER)).status == 401
    assert (await house.knock(b"/ws?ticket=" + TOKEN, OFFER)).status == 401
