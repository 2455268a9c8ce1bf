"""A real HTTP service on a socket that tells what it was asked."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.transports.channel import support
from tests.upstreams.transports.openapi.support import DOCUMENT

from mantlet.core.call import Call, Reply
from mantlet.core.refusal import BadUpstream, DeadlineExceeded, InvalidParams, MethodNotFound, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.upstreams.transports.openapi import OpenApiServer, OpenApiServerConfig


def call(method: str, params: dict[str, Any] | None = None, **more: Any) -> Call:
    return replace(support.call(method, params, **more), target=str((params or {}).get("name", "")))


Answer = Callable[[str], bytes]


def json_answer(request: str, status: str = "200 OK") -> bytes:
    body = json.dumps({"request": request}).encode()
    return f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


@asynccontextmanager
async def service(tmp_path: Path, answer: Answer = json_answer, **config: Any) -> AsyncIterator[OpenApiServer]:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = next((int(v) for k, _, v in (line.partition(":") for line in head.decode().lower().split("\r\n")) if k == "content-length"), 0)  # fmt: skip # noqa: E501
                said = answer(head.decode() + (await reader.readexactly(length)).decode())
                if not said:
                    await asyncio.Event().wait()
                writer.write(said)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listener = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = listener.sockets[0].getsockname()[1]
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(DOCUMENT))
    settings = OpenApiServerConfig(name="pets", url=f"http://127.0.0.1:{port}/v1/", document=str(document), **config)
    server = OpenApiServer(settings, is_plain_allowed=True)
    try:
        yield server
    finally:
        await server.close()
        listener.close()


def result(reply: Reply) -> dict[str, Any]:
    assert isinstance(reply.body, bytes)
    made: dict[str, Any] = json.loads(reply.body)["result"]
    return made


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_call_becomes_a_request_below_the_configured_url(tmp_path: Path, era: str) -> None:
    """FWD-01, EGR-03: the document's own `servers`, and the caller's headers, change nothing."""
    async with service(tmp_path, headers={"X-Api-Key": Secret("k3y")}) as server:
        arguments = {"petId": "a/..", "fields": ["x"], "X-Trace": "t"}
        answered = result(await server.send(call("tools/call", {"name": "getPet", "arguments": arguments}, era=era)))
    request = answered["structuredContent"]["request"]
    assert request.startswith("GET /v1/pets/a%2F..?fields=x HTTP/1.1\r\nhost: 127.0.0.1:")
    assert "x-api-key: k3y" in request
    assert "x-trace: t" in request
    assert "authorization" not in request.lower()
    assert answered["isError"] is False
    assert answered.get("resultType") == ("complete" if era == "modern" else None)


async def test_a_body_is_sent_as_json(tmp_path: Path) -> None:
    async with service(tmp_path) as server:
        arguments = {"petId": "1", "body": {"name": "Tom"}}
        answered = result(await server.send(call("tools/call", {"name": "putPet", "arguments": arguments})))
    assert answered["structuredContent"]["request"].endswith('\r\n\r\n{"name":"Tom"}')


async def test_both_eras_are_told_what_it_is(tmp_path: Path) -> None:
    async with service(tmp_path) as server:
        opened = result(await server.send(call("initialize", {"protocolVersion": "2025-06-18"}, era="legacy")))
        assert (opened["protocolVersion"], opened["serverInfo"]["name"]) == ("2025-06-18", "Pets")
        found = result(await server.send(call("server/discover")))
        assert found["supportedVersions"] == ["2026-07-28"]
        tools = result(await server.send(call("tools/list")))
        assert {tool["name"] for tool in tools["tools"]} == {"getPet", "putPet", "get_search", "form_search"}
        assert tools["ttlMs"] > 0
        with pytest.raises(MethodNotFound):
            await server.send(call("prompts/list"))
        with pytest.raises(InvalidParams):
            await server.send(call("tools/call", {"name": "upload"}))


async def test_what_the_model_can_mend_is_told_as_a_result(tmp_path: Path) -> None:
    async with service(tmp_path, lambda request: json_answer(request, "404 Not Found")) as server:
        wrong = result(await server.send(call("tools/call", {"name": "getPet", "arguments": {}})))
        assert (wrong["isError"], wrong["content"][0]["text"]) == (True, "missing argument: petId")
        missing = result(await server.send(call("tools/call", {"name": "getPet", "arguments": {"petId": "1"}})))
        assert (missing["isError"], missing["content"][0]["text"]) == (True, "HTTP 404")


@pytest.mark.parametrize(
    "head",
    [
        "HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1\r\n\r\n{",
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9000000\r\n\r\n",
        "garbage\r\n\r\n",
    ],
)
async def test_a_broken_answer_is_never_passed_on(tmp_path: Path, head: str) -> None:
    """FWD-05, MCP-09"""
    async with service(tmp_path, lambda _: head.encode()) as server:
        with pytest.raises(BadUpstream):
            await server.send(call("tools/call", {"name": "getPet", "arguments": {"petId": "1"}}))


async def test_a_redirect_is_told_and_not_followed(tmp_path: Path) -> None:
    """EGR-04"""
    asked: list[str] = []

    def redirect(request: str) -> bytes:
        asked.append(request)
        return b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n"

    async with service(tmp_path, redirect) as server:
        answered = result(await server.send(call("tools/call", {"name": "getPet", "arguments": {"petId": "1"}})))
    assert answered["content"] == [{"type": "text", "text": "HTTP 302"}]
    assert len(asked) == 1


async def test_a_service_that_is_silent_is_given_up_at_the_deadline(tmp_path: Path) -> None:
    async with service(tmp_path, lambda _: b"") as server:
        with pytest.raises(DeadlineExceeded):
            await server.send(call("tools/call", {"name": "getPet", "arguments": {"petId": "1"}}, timeout_s=0.1))


async def test_a_service_that_is_not_there_is_unavailable_and_health_says_so(tmp_path: Path) -> None:
    document = tmp_path / "openapi.yaml"
    document.write_text("openapi: 3.0.3\ninfo: {title: t, version: '1'}\npaths: {/x: {get: {}}}\n")
    settings = OpenApiServerConfig(name="gone", url="http://127.0.0.1:1/", document=str(document))
    server = OpenApiServer(settings, is_plain_allowed=True)
    with pytest.raises(UpstreamUnavailable):
        await server.send(call("tools/call", {"name": "get_x", "arguments": {}}))
    assert (await server.health())["state"] == "unhealthy"
    await server.close()


@pytest.mark.parametrize("text", ["{", "a: [", "openapi: '2.0'", '{"openapi":"3.1.0","openapi":"3.0.0"}'])
def test_a_document_that_cannot_be_read_is_an_error_that_names_it(tmp_path: Path, text: str) -> None:
    document = tmp_path / "doc.yaml"
    document.write_text(text)
    with pytest.raises(ValueError, match=r"mcp\.servers: pets"):
        OpenApiServer(OpenApiServerConfig(name="pets", url="https://x.example", document=str(document)))


def test_production_takes_https_only(tmp_path: Path) -> None:
    """TLS-04"""
    document = tmp_path / "doc.json"
    document.write_text(json.dumps(DOCUMENT))
    with pytest.raises(ValueError, match="https://"):
        OpenApiServer(OpenApiServerConfig(name="pets", url="http://x.example", document=str(document)))


class Own:
    """A caller's own grant, whose first token is over."""

    async def __call__(self, *_: Any) -> list[tuple[bytes, bytes]]:
        return [(b"authorization", b"Bearer old")]

    async def renewed(self, _caller: Any, _headers: Any, refused: Any, /) -> list[tuple[bytes, bytes]] | None:
        return [(b"authorization", b"Bearer new")] if refused == [(b"authorization", b"Bearer old")] else None


@pytest.mark.parametrize("good", ["new", "none"])
async def test_a_callers_token_that_is_refused_is_got_anew_once(tmp_path: Path, good: str) -> None:
    """FWD-05"""
    seen: list[str] = []

    def answer(request: str) -> bytes:
        seen.append(request)
        return json_answer("", "200 OK" if f"Bearer {good}" in request else "401 Unauthorized")

    async with service(tmp_path, answer) as server:
        server._identity = server._renewable = Own()
        asked = call("tools/call", {"name": "getPet", "arguments": {"petId": "1"}})
        if good == "new":
            assert result(await server.send(asked))["isError"] is False
        else:
            with pytest.raises(BadUpstream):
                await server.send(asked)
    assert len(seen) == 2
