"""Plain HTTP services behind a whole node: a real service on uvicorn, real sockets, no client library's opinions."""

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import PLENTY, Answer, Client, House, open_house
from tests.servers.plain import Plain, served

from mantlet.node.config import ConfigErrors, load

RULES = [
    {"name": "admins", "allow": {"roles": ["admin"]}},
    {"name": "no-secrets", "deny": {"paths": ["/secret*"]}},
    {
        "name": "users-write",
        "allow": {"roles": ["user"], "servers": ["plain"], "paths": ["/echo/*"], "methods": ["POST"]},
    },
    {"name": "users-read", "allow": {"roles": ["user"], "servers": ["plain"], "paths": ["*"], "methods": ["GET"]}},
]
JSON = {"Content-Type": "application/json"}
BYTES = {"Content-Type": "application/octet-stream"}
PATIENCE_S = 10.0


@pytest.fixture
async def plain() -> AsyncIterator[Plain]:
    async with served() as service:
        yield service


@pytest.fixture
async def house(tmp_path: Path, plain: Plain) -> AsyncIterator[House]:
    async with open_node(tmp_path, plain) as opened:
        yield opened


def open_node(folder: Path, plain: Plain, rules: Any = None, limits: Any = None, **service: Any) -> Any:
    one = {
        "name": "plain",
        "url": f"{plain.url}/base",
        "content_types": ["application/json", "application/octet-stream"],
        "max_body_bytes": 64_000_000,
        "request_headers": ["X-Tenant"],
        "headers": {"X-Service-Key": "the nodes own"},
        **service,
    }
    rules = rules or [{"name": "all", "allow": {"roles": ["admin", "user"]}}]
    return open_house(folder, servers=1, http_upstreams=[one], authorization={"rules": rules}, limits=limits or {})


def bearer(house: House, who: str = "alice", **more: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {house.keys[who]}", **more}


async def ask(house: House, verb: str, path: str, body: bytes = b"", who: str = "alice", **fields: str) -> Answer:
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    async with asyncio.timeout(PATIENCE_S):
        return await house.ask(verb, path, bearer(house, who, **given), body)


def problem(answer: Answer) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert answer.json["status"] == answer.status
    return answer.status, answer.json["reason"]


# --- what passes ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["GET", "POST", "PUT", "PATCH", "DELETE"])
async def test_every_verb_reaches_the_service_with_its_path_and_query(house: House, plain: Plain, verb: str) -> None:
    body = b'{"a": [1, 2.5]}' if verb != "GET" else b""
    answer = await ask(
        house,
        verb,
        "/api/plain/echo/a%20b/%C3%A4?x=%2F&y",
        body,
        **({"Content_Type": JSON["Content-Type"]} if body else {}),
    )
    assert answer.status == 200
    said = answer.json
    assert (said["verb"], said["raw_path"], said["query"]) == (verb, "/base/echo/a%20b/%C3%A4", "x=%2F&y")
    assert (said["size"], said["sha256"]) == (len(body), hashlib.sha256(body).hexdigest())


async def test_head_is_told_what_get_would_be(house: House, plain: Plain) -> None:
    client = await Client.to(house.calls.port)
    for _ in range(2):  # the connection to the service is good for another
        answer = await client.ask("HEAD", "/api/plain/status?code=200&etag=e", bearer(house))
        assert (answer.status, answer.headers["content-length"], answer.headers["etag"]) == (200, "4", "e")
    get = await client.ask("GET", "/api/plain/status?code=200&etag=e", bearer(house))
    assert (get.body, get.headers["content-length"]) == (b"said", "4")
    client.close()
    (service,) = [one for one in await upstreams(house) if one["name"] == "plain"]
    assert service["connections"]["opened"] == 1


async def upstreams(house: House) -> list[dict[str, Any]]:
    return [dict(await one.health()) for one in (*house.node.upstreams.values(), *house.node.services.values())]


async def test_the_service_sees_listed_fields_and_the_nodes_own(house: House, plain: Plain) -> None:
    """FWD-01, FWD-03, HTTP-09: neither credential, nor cookie, nor anything that says who or where somebody is."""
    hostile = {
        "Cookie": "a=b",
        "X-Forwarded-For": "10.0.0.1",
        "X_Forwarded_For": "10.0.0.1",
        "Forwarded": "for=10.0.0.1",
        "X-Real-IP": "10.0.0.1",
        "X-Auth-Type": "forwarded",
        "X-Forwarded-User-ID": "root",
        "X-Original-URL": "/admin",
        "X-HTTP-Method-Override": "DELETE",
        "X-Service-Key": "mine",
        "X-Request-Id": "mine",
        "X-Anything": "1",
        "Connection": "keep-alive, X-Service-Key, X-Tenant",
        "TE": "trailers",
        "Proxy-Authorization": "Basic x",
        "Accept-Encoding": "gzip",
    }
    passing = {"Accept": "application/json", "X-Tenant": "red", "If-None-Match": '"x"', "Range": "bytes=0-1"}
    answer = await house.ask("GET", "/api/plain/echo", {**bearer(house), **hostile, **passing})
    assert dict(answer.json["headers"]) == {
        "host": f"127.0.0.1:{plain.port}",
        "user-agent": "mantlet/0.1.0",
        "accept-encoding": "identity",
        "x-service-key": "the nodes own",
        "x-request-id": answer.headers["x-request-id"],
        **{name.lower(): value for name, value in passing.items()},
    }
    assert len(answer.json["headers"]) == 9


async def test_the_caller_sees_listed_fields_and_the_nodes_own(house: House) -> None:
    """FWD-05, HTTP-11"""
    hostile = {
        "set-cookie": "a=b", "www-authenticate": "Basic", "server": "s", "x-powered-by": "p", "location": "/elsewhere",
        "content-security-policy": "script-src", "access-control-allow-origin": "*", "clear-site-data": "x",
        "x-ratelimit-limit": "0", "refresh": "0", "strict-transport-security": "max-age=0", "cache-control": "public",
        "x-request-id": "theirs",
    }  # fmt: skip
    query = "&".join(f"{name}={value}" for name, value in {**hostile, "etag": "e", "content-language": "de"}.items())
    answer = await ask(house, "GET", f"/api/plain/status?code=200&{query}".replace(" ", "%20"))
    assert (answer.status, answer.body) == (200, b"said")
    assert (answer.headers["etag"], answer.headers["content-language"]) == ("e", "de")
    assert set(answer.headers) == {
        "x-content-type-options", "content-security-policy", "referrer-policy", "vary", "date", "etag",
        "content-language", "cache-control", "x-request-id", "content-length", "x-ratelimit-limit",
        "x-ratelimit-remaining", "x-ratelimit-reset", "ratelimit", "ratelimit-policy",
    }  # fmt: skip
    assert answer.headers["cache-control"] == "no-store"
    assert "script-src" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("code", [200, 201, 202, 204, 206, 304, 400, 404, 405, 409, 412, 422, 429, 500, 503])
async def test_a_services_own_word_passes(house: House, code: int) -> None:
    answer = await ask(house, "GET", f"/api/plain/status?code={code}&retry-after=7")
    assert (answer.status, answer.headers["retry-after"]) == (code, "7")
    assert answer.body == (b"" if code in (204, 304) else b"said")


@pytest.mark.parametrize("code", [401, 403, 407, 301, 302, 303, 307, 308, 300])
async def test_its_refusals_and_redirects_are_not_the_nodes(house: House, code: int) -> None:
    """FWD-05"""
    answer = await ask(house, "GET", f"/api/plain/status?code={code}&location=/base/echo&www-authenticate=Basic")
    assert problem(answer) == (502, "bad_upstream")
    assert "location" not in answer.headers
    assert "www-authenticate" not in answer.headers


async def test_a_caller_cannot_have_a_service_left_alone_by_what_it_asks_for(house: House) -> None:
    """RES-01: what a service will not do for one caller opens no breaker for all."""
    for code in (401, 303, 403, 307) * 3:
        assert (await ask(house, "GET", f"/api/plain/status?code={code}&location=/base/echo")).status == 502
    assert (await ask(house, "GET", "/api/plain/status?code=200")).status == 200


async def test_redirects_below_the_service_can_be_rewritten(tmp_path: Path, plain: Plain) -> None:
    """FWD-05"""
    async with open_node(tmp_path, plain, redirects="rewrite") as house:
        answer = await ask(house, "GET", "/api/plain/status?code=307&location=/base/echo/new%3Fa%3D1")
        assert (answer.status, answer.headers["location"]) == (307, "/api/plain/echo/new?a=1")
        assert (await ask(house, "GET", answer.headers["location"])).json["raw_path"] == "/base/echo/new"
        for away in ("/admin", "//evil.example/base", "/base/%252e%252e/x", "https://evil.example/"):
            assert problem(await ask(house, "GET", f"/api/plain/status?code=302&location={away}")) == (
                502,
                "bad_upstream",
            )
        created = await ask(house, "GET", "/api/plain/status?code=201&location=/base/echo/7")
        assert (created.status, created.headers["location"]) == (201, "/api/plain/echo/7")


async def test_a_prefix_can_be_anything_below_api_and_stay(tmp_path: Path, plain: Plain) -> None:
    async with open_node(tmp_path, plain, prefix="/api/v2/files", strip_prefix=False) as house:
        assert (await ask(house, "GET", "/api/v2/files/a")).json["raw_path"] == "/base/api/v2/files/a"
        assert problem(await ask(house, "GET", "/api/plain/a")) == (404, "not_found")


# --- who may --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("who", "verb", "path", "status", "rule"),
    [
        ("root", "DELETE", "/secret/x", 200, "admins"),
        ("alice", "GET", "/echo/x", 200, "users-read"),
        ("alice", "HEAD", "/echo/x", 200, "users-read"),
        ("alice", "POST", "/echo/x", 200, "users-write"),
        ("alice", "POST", "/other", 403, "default"),
        ("alice", "DELETE", "/echo/x", 403, "default"),
        ("alice", "GET", "/secret/x", 403, "no-secrets"),
        ("alice", "HEAD", "/secret/x", 403, "no-secrets"),
        ("alice", "GET", "/%73ecret/x", 403, "no-secrets"),
        ("norules", "GET", "/echo/x", 403, "default"),
    ],
)
async def test_roles_decide_by_verb_and_path(
    tmp_path: Path, plain: Plain, who: str, verb: str, path: str, status: int, rule: str
) -> None:
    """AUTHZ-01, HTTP-01"""
    async with open_node(tmp_path, plain, rules=RULES) as house:
        body = b"{}" if verb == "POST" else b""
        client = await Client.to(house.calls.port)
        answer = await client.ask(verb, f"/api/plain{path}", {**bearer(house, who), **JSON}, body)
        client.close()
        assert answer.status == status
        assert len(plain.requests) == (status == 200)
        record = house.audit()[-1]
        assert (record["rule"], record["server"], record["action"]) == (rule, "plain", f"{verb} /api/plain")
        if status == 403 and verb != "HEAD":
            assert problem(answer) == (403, "denied")


@pytest.mark.parametrize(
    ("body", "fields", "status"),
    [
        (b'{"seconds": 10}', JSON, 200),
        (b'{"seconds": 11}', JSON, 403),
        (b'{"second": 1}', JSON, 403),
        (b"[10]", JSON, 403),
        (b"10", JSON, 403),
        (b"", JSON, 403),
        (b'{"seconds": 10}', BYTES, 403),
    ],
)
async def test_conditions_see_what_json_says(
    tmp_path: Path, plain: Plain, body: bytes, fields: dict[str, str], status: int
) -> None:
    """AUTHZ-01: a condition that cannot be answered denies."""
    rules = [{"name": "short", "allow": {"paths": ["/echo"], "methods": ["POST"], "when": "args.seconds <= 10"}}]
    async with open_node(tmp_path, plain, rules=rules) as house:
        answer = await house.ask("POST", "/api/plain/echo", {**bearer(house), **fields}, body)
        assert answer.status == status
        assert len(plain.requests) == (status == 200)


async def test_filters_look_into_json_and_leave_answers_alone(tmp_path: Path, plain: Plain) -> None:
    """VAL-04"""
    filters = {"prototype": "block", "secrets": "sanitize", "prompt_injection": "block", "script": "log"}
    service = {"name": "plain", "url": f"{plain.url}/base", "content_types": ["application/json"]}
    async with open_house(tmp_path, servers=0, http_upstreams=[service], validation={"filters": filters}) as house:
        fields = {**bearer(house), **JSON}
        refused = await house.ask("POST", "/api/plain/echo", fields, b'{"__proto__": {"admin": true}}')
        assert problem(refused) == (400, "filtered")
        assert plain.requests == []
        plain.release.set()
        assert (await house.ask("POST", "/api/plain/echo", fields, b'{"a": [1.5]}')).json["size"] == 12
        assert (await house.ask("GET", "/api/plain/status?code=200", fields)).body == b"said"
        assert (await house.ask("GET", "/api/plain/drip?length=12", fields)).body == b"first;second"


async def test_strangers_are_challenged_whatever_they_ask(house: House, plain: Plain) -> None:
    """AUTHN-01, AUTHN-04"""
    for path in ("/api/plain/echo", "/api/other", "/api/plain/status?code=200", "/api/plain"):
        for verb in ("GET", "POST", "OPTIONS", "DELETE"):
            answer = await house.ask(verb, path)
            assert problem(answer) == (401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert plain.requests == []


async def test_named_profiles_are_counted_each_for_itself(tmp_path: Path, plain: Plain) -> None:
    """RATE-01: 10, 30 and 100 a minute; the refusal is the documented one."""
    profiles = [
        ("solve", {"path": "/api/plain/echo/solve"}, 10),
        ("status", {"path": "/api/plain/status", "method": "GET"}, 30),
        ("data", {"path": "/api/plain/echo/data*"}, 100),
    ]
    limits = {
        "client": PLENTY,
        "routes": [
            {"name": name, "match": match, "client": {"requests": count, "window": 60}}
            for name, match, count in profiles
        ],
    }  # fmt: skip
    async with open_node(tmp_path, plain, limits=limits) as house:
        client = await Client.to(house.calls.port)
        for name, match, count in profiles:
            target = match["path"].replace("*", "/7")
            for number in range(count):
                verb = "HEAD" if name == "status" and number % 2 else "GET"
                answer = await client.ask(verb, target, bearer(house))
                assert answer.status == 200, (name, number)
                assert answer.headers["x-ratelimit-limit"] == str(count)
                assert answer.headers["x-ratelimit-remaining"] == str(count - number - 1)
            reached = len(plain.requests)
            answer = await client.ask("GET", target, bearer(house))
            assert (answer.status, answer.headers["content-type"]) == (429, "application/json")
            said = answer.json
            assert set(said) == {"error", "limit", "remaining", "reset", "retry_after", "global_limit_hit", "reason",
                                 "request_id"}  # fmt: skip
            assert (said["error"], said["limit"], said["remaining"]) == ("Rate limit exceeded", count, 0)
            assert said["global_limit_hit"] is False
            assert 0 < said["retry_after"] <= 62
            assert answer.headers["retry-after"] == str(said["retry_after"])
            assert answer.headers["x-ratelimit-reset"] == str(said["reset"])
            assert answer.headers["ratelimit-policy"] == f'"{name}";q={count};w=60'
            assert len(plain.requests) == reached
            assert (await client.ask("GET", target, bearer(house, "bob"))).status == 200
        client.close()


async def test_limits_can_tell_services_by_name(tmp_path: Path, plain: Plain) -> None:
    limits = {"routes": [{"name": "all-of-it", "match": {"server": "plain"}, "client": {"requests": 1, "window": 60}}]}
    async with open_node(tmp_path, plain, limits=limits) as house:
        assert (await ask(house, "GET", "/api/plain/a")).status == 200
        assert (await ask(house, "GET", "/api/plain/b")).status == 429
        assert (await house.call()).status == 200


# --- what does not pass ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/api/plain/../mcp",
        "/api/plain/%2e%2e/x",
        "/api/plain/%2E./x",
        "/api/plain/.%2e/%2e%2e/x",
        "/api/plain/a/./b",
        "/api/plain/%252e%252e/x",
        "/api/plain/a%2fb",
        "/api/plain/a%2Fb",
        "/api/plain/a%5cb",
        "/api/plain/a\\b",
        "/api/plain/a;b=c",
        "/api/plain/a%3bb",
        "/api/plain/a%00",
        "/api/plain/a%0d%0aX:1",
        "/api/plain/%zz",
        "/api/plain/%",
        "/api/plain//x",
        "/api//plain/x",
        "/api/plain/%c0%ae%c0%ae/x",
        "/api/plain/%ff",
        "/api/plain/x#y",
        "/api/plain/a%3fb",
        "/api/plain/a%23b",
        "/api/plain/x?a=%00",
        "/api/plain/x?a=%",
        "/api/plain/x?a=\\",
        "/api/plain/x?a=1#b",
    ],
)  # fmt: skip
async def test_a_target_with_two_readings_is_refused(house: House, plain: Plain, path: str) -> None:
    """HTTP-10, EGR-03: not repaired."""
    assert (await ask(house, "GET", path)).status == 400
    assert plain.requests == []


async def test_paths_are_refused_alike_with_whatever_else(house: House, plain: Plain) -> None:
    for path in ("/API/plain/x", "/api/Plain/x", "/api/plainx", "/api/", "/api", "/api/one/x"):
        assert problem(await ask(house, "GET", path)) == (404, "not_found")
    assert plain.requests == []


@pytest.mark.parametrize(
    ("verb", "status"), [("TRACE", 405), ("CONNECT", 405), ("OPTIONS", 405), ("PROPFIND", 405), ("get", 405)]
)
async def test_verbs_that_are_not_served(house: House, plain: Plain, verb: str, status: int) -> None:
    """HTTP-08"""
    answer = await ask(house, verb, "/api/plain/echo")
    assert answer.status == status
    assert "GET" in answer.headers["allow"]
    assert "TRACE" not in answer.headers["allow"]
    assert plain.requests == []


async def test_websockets_are_refused(house: House, plain: Plain) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "x" * 22 + "==",
        "Sec-WebSocket-Version": "13",
    }
    assert problem(await house.ask("GET", "/api/plain/echo", bearer(house, **upgrade))) == (400, "invalid_request")
    assert plain.requests == []


SMUGGLED = b"POST /api/plain/echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        b"Content-Length: 5\r\nContent-Length: 6\r\n",
        b"Content-Length: +5\r\n",
        b"Content-Length: 5, 5\r\n",
        b"Transfer-Encoding: Chunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding: x\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\tchunked\r\n x\r\n",
        b"Content-Length: 5\r\n\x00: y\r\n",
        b"Content-Length: 5\nX: y\r\n",
    ],
)
async def test_a_body_with_two_ends_reaches_nobody(house: House, plain: Plain, framing: bytes) -> None:
    """HTTP-04"""
    client = await Client.to(house.calls.port)
    host = f"Host: localhost:{house.calls.port}\r\nAuthorization: Bearer {house.keys['alice']}\r\n".encode()
    client.writer.write(b"POST /api/plain/echo HTTP/1.1\r\n" + host + framing + b"\r\n0\r\n\r\n" + SMUGGLED)
    async with asyncio.timeout(PATIENCE_S):
        answer = await client.answer()
        assert answer.status == 400
        assert await client.reader.read() == b""  # and no second answer
    assert plain.requests == []
    client.close()


async def test_a_request_hidden_in_a_body_stays_a_body(house: House, plain: Plain) -> None:
    """HTTP-04: one in, one out, byte for byte, by length and by chunks."""
    client = await Client.to(house.calls.port)
    answer = await client.ask("POST", "/api/plain/echo", {**bearer(house), **BYTES}, SMUGGLED)
    assert answer.json["sha256"] == hashlib.sha256(SMUGGLED).hexdigest()
    head = {**bearer(house), **BYTES, "Transfer-Encoding": "chunked", "Host": f"localhost:{house.calls.port}"}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    client.writer.write(f"POST /api/plain/echo HTTP/1.1\r\n{lines}\r\n".encode())
    client.writer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED))
    assert (await client.answer()).json["sha256"] == hashlib.sha256(SMUGGLED).hexdigest()
    assert len(plain.requests) == 2
    client.close()


async def test_bodies_are_what_they_say_or_nothing(house: House, plain: Plain) -> None:
    """HTTP-07, HTTP-08, VAL-01"""
    for body, fields, status in [
        (b'{"a":1,"a":2}', JSON, 400),
        (b"{", JSON, 400),
        (b"{}", {"Content-Type": "application/xml"}, 415),
        (b"{}", {"Content-Type": "text/plain"}, 415),
        (b"{}", {}, 415),
        (b"{}", {"Content-Type": "application/json; charset=utf-16"}, 415),
        (b"{}", {"Content-Type": "application/json, application/octet-stream"}, 415),
        (b"{}", {**JSON, "Content-Encoding": "gzip"}, 415),
        (b"{}", {**BYTES, "Content-Encoding": "identity, gzip"}, 415),
    ]:
        client = await Client.to(house.calls.port)
        answer = await client.ask("POST", "/api/plain/echo", {**bearer(house), **fields}, body)
        assert problem(answer)[0] == status, (body, fields)
        client.close()
    client = await Client.to(house.calls.port)
    assert (await client.ask("GET", "/api/plain/echo", {**bearer(house), **JSON}, b"{}")).status == 400
    client.close()
    assert plain.requests == []


# --- as it comes ----------------------------------------------------------------------------------------------------


async def begin(house: House, path: str, *, length: int | None = None, **fields: str) -> Client:
    """The head of an upload."""
    client = await Client.to(house.calls.port)
    framing = "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in {**bearer(house), **BYTES, **fields}.items())
    client.writer.write(f"POST {path} HTTP/1.1\r\nHost: localhost:{client.port}\r\n{lines}{framing}\r\n\r\n".encode())
    return client


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_an_upload_reaches_the_service_while_it_is_sent(house: House, plain: Plain, is_chunked: bool) -> None:
    async with asyncio.timeout(PATIENCE_S):
        client = await begin(house, "/api/plain/echo", length=None if is_chunked else 2000)
        for count in (1000, 2000):
            client.writer.write(b"3e8\r\n" + b"x" * 1000 + b"\r\n" if is_chunked else b"x" * 1000)
            await plain.has_received(count)
        if is_chunked:
            client.writer.write(b"0\r\n\r\n")
        said = (await client.answer()).json
    assert said["sha256"] == hashlib.sha256(b"x" * 2000).hexdigest()
    sent = dict(said["headers"])
    assert (sent.get("content-length"), sent.get("transfer-encoding")) == (
        (None, "chunked") if is_chunked else ("2000", None)
    )
    client.close()


async def test_an_upload_waits_for_a_service_that_does_not_take_it(house: House, plain: Plain) -> None:
    """HTTP-06: what waits is in sockets, not in the node."""
    size = 40_000_000
    async with asyncio.timeout(PATIENCE_S):
        client = await begin(house, "/api/plain/slow", length=size)
        part, sent = b"x" * 65536, 0
        await plain.reached.wait()

        async def push() -> None:
            nonlocal sent
            for _ in range(size // len(part)):
                client.writer.write(part)
                await client.writer.drain()
                sent += len(part)
            client.writer.write(b"x" * (size % len(part)))
            await client.writer.drain()

        pushing = asyncio.ensure_future(push())
        before = -1
        while before != (before := _received(house)):  # until it stands still
            for _ in range(20):
                await asyncio.sleep(0.005)
        assert not pushing.done()
        assert before < size
        plain.release.set()
        await pushing
        assert (await client.answer()).status == 200
        assert plain.received == size
    client.close()


def _received(house: House) -> int:
    return sum(info.bytes_in for info in house.calls.connections())


async def test_an_answer_reaches_the_caller_while_it_is_made(house: House, plain: Plain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        client = await Client.to(house.calls.port)
        head = await client.ask("GET", "/api/plain/drip", bearer(house), whole=False)
        assert head.headers["transfer-encoding"] == "chunked"
        chunks = client.chunks()
        assert await anext(chunks) == b"first;"
        plain.release.set()
        assert b"".join([chunk async for chunk in chunks]) == b"second"
        # the same connections, there and here
        assert (await client.ask("GET", "/api/plain/echo", bearer(house))).status == 200
        assert (await upstreams(house))[-1]["connections"]["opened"] == 1
        client.close()


async def test_an_answer_of_known_length_keeps_it(house: House, plain: Plain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        client = await Client.to(house.calls.port)
        head = await client.ask("GET", "/api/plain/drip?length=12", bearer(house), whole=False)
        assert (head.headers["content-length"], "transfer-encoding" in head.headers) == ("12", False)
        assert await client.reader.readexactly(6) == b"first;"
        plain.release.set()
        assert await client.reader.readexactly(6) == b"second"
        client.close()


async def test_events_pass_as_they_come(house: House, plain: Plain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        client = await Client.to(house.calls.port)
        head = await client.ask("GET", "/api/plain/stream", bearer(house), whole=False)
        assert head.headers["content-type"] == "text/event-stream"
        assert await anext(client.chunks()) == b"data: 1\n\n"
        client.close()
        await plain.gone.wait()


async def test_both_ways_at_once(house: House, plain: Plain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        client = await begin(house, "/api/plain/duplex")
        assert (await client.answer(whole=False)).status == 200
        chunks = client.chunks()
        for word in (b"one", b"two", b"three"):
            client.writer.write(b"%x\r\n%b\r\n" % (len(word), word))
            assert await anext(chunks) == word
        client.writer.write(b"0\r\n\r\n")
        assert [chunk async for chunk in chunks] == []
        client.close()


async def test_a_large_answer_is_not_gathered(tmp_path: Path, plain: Plain) -> None:
    """EGR-04"""
    size = 64_000_000
    async with open_node(tmp_path, plain) as house, asyncio.timeout(PATIENCE_S):
        client = await Client.to(house.calls.port)
        await client.ask("GET", f"/api/plain/flood?size={size}", bearer(house), whole=False)
        before = -1
        while before != (before := plain.received):
            for _ in range(20):
                await asyncio.sleep(0.005)
        assert before < size
        taken = 0
        async for chunk in client.chunks():
            taken += len(chunk)
        assert taken == size
        client.close()


async def test_an_answer_beyond_its_bound_is_cut_off(tmp_path: Path, plain: Plain) -> None:
    """EGR-04"""
    async with open_node(tmp_path, plain, max_answer_bytes=1_000_000) as house, asyncio.timeout(PATIENCE_S):
        client = await Client.to(house.calls.port)
        await client.ask("GET", "/api/plain/flood?size=3000000", bearer(house), whole=False)
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            async for _chunk in client.chunks():
                pass
        client.close()
        assert (await ask(house, "GET", "/api/plain/echo")).status == 200


@pytest.mark.parametrize("where", ["before", "upload", "stream"])
async def test_who_leaves_cancels_the_work(house: House, plain: Plain, where: str) -> None:
    """RES-03"""
    async with asyncio.timeout(PATIENCE_S):
        if where == "upload":
            client = await begin(house, "/api/plain/hold", length=2000)
            client.writer.write(b"x" * 1000)
            await plain.has_received(1000)
        else:
            client = await Client.to(house.calls.port)
            path = "/api/plain/hold" if where == "before" else "/api/plain/stream"
            asking = asyncio.ensure_future(client.ask("GET", path, bearer(house), whole=False))
            await plain.reached.wait()
        client.close()
        await plain.gone.wait()
        if where != "upload":
            asking.cancel()
            await asyncio.wait({asking})
        assert (await ask(house, "GET", "/api/plain/echo")).status == 200


async def test_a_service_that_says_no_at_once_is_heard(house: House, plain: Plain) -> None:
    async with asyncio.timeout(PATIENCE_S):
        client = await begin(house, "/api/plain/early", length=50_000_000)
        answer = await client.answer()
        assert (answer.status, answer.body, answer.headers["connection"]) == (422, b"no", "close")
        client.close()
        assert (await ask(house, "GET", "/api/plain/echo")).status == 200


@pytest.mark.parametrize(
    ("fields", "length", "max_bytes"),
    [(BYTES, 300_001, 300_000), (JSON, 1001, 1000), (BYTES, None, 300_000), (JSON, None, 1000)],
)
async def test_a_body_beyond_its_bound_is_refused(
    tmp_path: Path, plain: Plain, fields: dict[str, str], length: int | None, max_bytes: int
) -> None:
    """HTTP-06: announced, or found while it comes."""
    async with open_node(tmp_path, plain, max_body_bytes=300_000, max_json_bytes=1000) as house:
        async with asyncio.timeout(PATIENCE_S):
            client = await begin(house, "/api/plain/echo", length=length, **fields)
            if length is None:
                client.writer.write(b"%x\r\n%b\r\n" % (max_bytes + 1, b'"' + b"x" * max_bytes))
            answer = await client.answer()
            assert problem(answer) == (413, "payload_too_large")
            client.close()
        assert all(request["verb"] != "POST" or plain.received <= max_bytes for request in plain.requests)
        assert (await ask(house, "GET", "/api/plain/echo")).status == 200


async def test_larger_bodies_are_for_services_alone(house: House) -> None:
    """HTTP-06"""
    client = await Client.to(house.calls.port)
    fields = {**bearer(house), **JSON, "Content-Length": "1048577"}
    assert problem(await client.ask("POST", "/mcp/one", fields)) == (413, "payload_too_large")
    client.close()
    client = await Client.to(house.calls.port)
    fields["Content-Length"] = "64000001"
    assert problem(await client.ask("POST", "/api/plain/echo", fields)) == (413, "payload_too_large")
    client.close()


async def test_an_answer_that_takes_too_long_is_given_up(tmp_path: Path, plain: Plain) -> None:
    """RES-03"""
    async with open_node(tmp_path, plain, timeout=0.2) as house, asyncio.timeout(PATIENCE_S):
        assert problem(await ask(house, "GET", "/api/plain/hold")) == (504, "deadline_exceeded")
        await plain.gone.wait()
        assert [request["raw_path"] for request in plain.requests] == ["/base/hold"]
        plain.release.set()


async def test_a_client_that_trickles_is_given_up(tmp_path: Path, plain: Plain) -> None:
    """HTTP-05"""
    async with open_house(
        tmp_path, servers=0, http={"port": 0, "body_timeout": 0.5},
        http_upstreams=[{"name": "plain", "url": plain.url, "content_types": ["application/octet-stream"]}],
    ) as house, asyncio.timeout(PATIENCE_S):  # fmt: skip
        client = await begin(house, "/api/plain/hold", length=2000)
        client.writer.write(b"x" * 1000)
        await plain.has_received(1000)
        assert problem(await client.answer()) == (408, "receipt_timeout")
        await plain.gone.wait()
        client.close()


async def test_a_service_that_is_not_there(tmp_path: Path, plain: Plain) -> None:
    async with open_node(tmp_path, plain, url="http://127.0.0.1:1") as house:
        answer = await ask(house, "GET", "/api/plain/echo")
        assert problem(answer) == (503, "upstream_unavailable")
        assert answer.headers["retry-after"] == "1"
        assert "127.0.0.1" not in answer.body.decode()


async def test_calls_are_recorded_without_what_was_asked_in_the_query(house: House) -> None:
    """AUD-06"""
    await ask(house, "GET", "/api/plain/echo/x?token_of=mine")
    record = house.audit()[-1]
    assert (record["action"], record["object"], record["server"], record["status"]) == (
        "GET /api/plain", "/echo/x", "plain", 200,
    )  # fmt: skip
    assert "token_of" not in json.dumps(record)


@pytest.mark.parametrize(
    ("section", "why"),
    [
        ("mcp: {servers: [{name: a, command: [x]}]}\nhttp_upstreams: [{name: a, url: 'https://h'}]", "'a' is taken"),
        ("http_upstreams: [{name: a, url: 'https://h'}, {name: a, url: 'https://h', prefix: /api/b}]", "'a' is taken"),
        ("http_upstreams: [{name: a, url: 'https://h'}, {name: b, url: 'https://h', prefix: /api/a}]", "prefix /api/a"),
        ("http_upstreams: [{name: a, url: 'https://h', prefix: /mcp}]", "must begin with /api/"),
    ],
)
def test_a_name_and_a_prefix_lead_to_one_server_only(tmp_path: Path, section: str, why: str) -> None:
    file = tmp_path / "mantlet.yaml"
    file.write_text(f"environment: development\n{section}\n")
    with pytest.raises(ConfigErrors, match=why):
        load([str(file)], {})
