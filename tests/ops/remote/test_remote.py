"""Talking to a node that runs: a scripted one on loopback."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from mantlet.cli import failures
from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.node.config.starter import starter, write
from mantlet.ops.remote import Address, Admin, Mcp, NodeError, NodeUnreachable, Refused, ToolCallFailed
from mantlet.ops.remote.arguments import arguments_of
from mantlet.ops.remote.target import Wish, target


class Seen(NamedTuple):
    verb: str
    path: str
    headers: dict[str, str]
    message: Any


Answer = tuple[int, dict[str, str], bytes]
Script = Callable[[Seen], Answer]


@contextmanager
def node(script: Script) -> Iterator[tuple[str, list[Seen]]]:
    """A node that answers as `script` says; gives its URL and what it has seen."""
    seen: list[Seen] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            seen.append(Seen(self.command, self.path, headers, json.loads(body) if body else None))
            status, fields, content = script(seen[-1])
            self.send_response(status)
            for name, value in {**fields, "content-length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_DELETE = answer

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", seen
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def told(data: Any, status: int = 200, **headers: str) -> Answer:
    return status, {"content-type": "application/json", **headers}, json.dumps(data).encode()


def reply(seen: Seen, result: Any, **headers: str) -> Answer:
    return told({"jsonrpc": "2.0", "id": seen.message["id"], "result": result}, **headers)


def failure(seen: Seen, code: int, message: str, status: int = 200, data: Any = None) -> Answer:
    error = {"code": code, "message": message, "data": data}
    return told({"jsonrpc": "2.0", "id": seen.message["id"], "error": error}, status)


def test_admin_shows_its_token_and_reads_the_answers() -> None:
    with node(lambda seen: told({"connections": [{"peer": "p"}], "seen": seen.path})) as (url, seen):
        admin = Admin(Address(url, Secret("the-token")))
        assert admin.connections() == [{"peer": "p"}]
        assert admin.limit("default/api key/é")["seen"] == "/admin/v1/limits?client=default%2Fapi%20key%2F%C3%A9"
        assert admin.reset_limit("a")["seen"] == "/admin/v1/limits?client=a"
    assert [one.verb for one in seen] == ["GET", "GET", "DELETE"]
    assert {one.headers["authorization"] for one in seen} == {"Bearer the-token"}


def test_health_tells_more_to_an_admin_and_down_is_no_failure() -> None:
    def script(seen: Seen) -> Answer:
        if seen.path == "/health":
            return told({"status": "down"}, 503)
        return told({"detail": "no", "reason": "denied"}, 403)

    with node(script) as (url, seen):
        assert Admin(Address(url)).overview() == {"http_status": 503, "status": "down"}
        assert Admin(Address(url, Secret("t"))).overview()["note"] == "no details: no"
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("answer", "reason", "detail"),
    [
        (told({"reason": "denied", "detail": "The role admin is needed."}, 403), "denied", "The role admin is needed."),
        (told({"error": "Rate limit exceeded", "limit": 1}, 429), "", "Rate limit exceeded"),
        (told({"error": {"message": "no", "data": {"reason": "denied"}}}, 403), "denied", "no"),
        ((502, {}, b"<html>"), "", "Bad Gateway"),
        ((401, {"x-request-id": "r1"}, b""), "", "Unauthorized"),
    ],
)
def test_a_refusal_says_what_the_node_said(answer: Answer, reason: str, detail: str) -> None:
    with node(lambda _: answer) as (url, _):
        with pytest.raises(Refused) as caught:
            Admin(Address(url)).status()
    assert (caught.value.status, caught.value.reason, caught.value.detail) == (answer[0], reason, detail)


def test_a_redirect_is_not_followed() -> None:
    """The token goes nowhere else."""
    with node(lambda _: (302, {"location": "http://127.0.0.1:9/"}, b"")) as (url, seen):
        with pytest.raises(NodeError):
            Admin(Address(url, Secret("t"))).status()
    assert len(seen) == 1


@pytest.mark.parametrize("url", ["ftp://h", "127.0.0.1:1", "http://", "http://h:port"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(NodeError, match="URL"):
        Admin(Address(url)).health()


def test_a_token_that_cannot_stand_in_a_header_is_not_quoted() -> None:
    with pytest.raises(NodeError) as caught:
        Admin(Address("http://127.0.0.1:9", Secret("tok\r\nX: y"))).health()
    assert "tok" not in str(caught.value).replace("the token", "")


def test_nobody_there_is_told() -> None:
    with pytest.raises(NodeUnreachable, match="is the node running"):
        Admin(Address("http://127.0.0.1:9")).health()


def test_a_modern_call_mirrors_its_body_in_headers() -> None:
    """MCP-01"""
    with node(lambda seen: reply(seen, {"content": [], "echo": seen.message["params"]})) as (url, seen):
        result = Mcp(Address(url, Secret("t")), "time").call("näme", {"a": 1})
    assert result["echo"]["arguments"] == {"a": 1}
    [one] = seen
    assert one.path == "/mcp/time"
    assert one.headers["mcp-method"] == "tools/call"
    assert one.headers["mcp-name"] == "=?base64?bsOkbWU=?="
    assert one.headers["mcp-protocol-version"] == "2026-07-28"
    assert one.message["params"]["_meta"]["io.modelcontextprotocol/protocolVersion"] == "2026-07-28"


def test_a_legacy_server_is_spoken_to_with_a_handshake() -> None:
    def script(seen: Seen) -> Answer:
        if seen.verb == "DELETE":
            return 204, {}, b""
        if "mcp-method" in seen.headers:
            return failure(seen, -32022, "The server behind speaks another revision.", 400)
        if seen.message["method"] == "initialize":
            return reply(seen, {"protocolVersion": "2025-06-18"}, **{"mcp-session-id": "s1"})
        if "id" not in seen.message:
            return 202, {}, b""
        return reply(seen, {"tools": [{"name": "a"}]})

    with node(script) as (url, seen):
        client = Mcp(Address(url))
        assert client.tools() == [{"name": "a"}]
        assert client.tools() == [{"name": "a"}]
        client.close()
    methods = [one.message["method"] if one.message else one.verb for one in seen]
    assert methods == ["tools/list", "initialize", "notifications/initialized", "tools/list", "tools/list", "DELETE"]
    for one in seen[2:]:
        assert (one.headers["mcp-session-id"], one.headers["mcp-protocol-version"]) == ("s1", "2025-06-18")


def test_a_reply_is_found_among_the_events_of_a_stream() -> None:
    def script(seen: Seen) -> Answer:
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {}}
        own = {"jsonrpc": "2.0", "id": seen.message["id"], "result": {"content": [{"type": "text", "text": "hi"}]}}
        body = f": hello\n\ndata: {json.dumps(note)}\n\nevent: message\ndata: {json.dumps(own)}\n\n"
        return 200, {"content-type": "text/event-stream"}, body.encode()

    with node(script) as (url, _):
        assert Mcp(Address(url)).call("t", {})["content"][0]["text"] == "hi"


def test_all_pages_of_a_list_are_read() -> None:
    def script(seen: Seen) -> Answer:
        page = int(seen.message["params"].get("cursor", "0"))
        more = {"nextCursor": str(page + 1)} if page < 2 else {}
        return reply(seen, {"tools": [{"name": f"t{page}"}], **more})

    with node(script) as (url, _):
        assert [tool["name"] for tool in Mcp(Address(url)).tools()] == ["t0", "t1", "t2"]


def test_a_list_that_never_ends_is_given_up() -> None:
    with node(lambda seen: reply(seen, {"tools": [], "nextCursor": "again"})) as (url, _):
        with pytest.raises(NodeError, match="pages"):
            Mcp(Address(url)).tools()


def test_errors_of_the_server_and_refusals_of_the_node_are_told_apart() -> None:
    with node(lambda seen: failure(seen, -32602, "Unknown tool")) as (url, _):
        with pytest.raises(ToolCallFailed, match="Unknown tool") as failed:
            Mcp(Address(url)).call("t", {})
    assert failed.value.code == -32602
    with node(lambda seen: failure(seen, 4403, "Not allowed.", 403, {"reason": "denied"})) as (url, _):
        with pytest.raises(Refused) as refused:
            Mcp(Address(url)).call("t", {})
    assert (refused.value.status, refused.value.reason) == (403, "denied")


@pytest.mark.parametrize(
    ("pairs", "whole", "arguments"),
    [
        ([], "", {}),
        (["a=1", "b=true", "c=text", "d=", "e=[1]", 'f="1"', "g=x=y"], "",
         {"a": 1, "b": True, "c": "text", "d": "", "e": [1], "f": "1", "g": "x=y"}),
        (["a=2"], '{"a": 1, "b": 3}', {"a": 2, "b": 3}),
    ],
)  # fmt: skip
def test_arguments_are_read_as_they_are_meant(pairs: list[str], whole: str, arguments: dict[str, Any]) -> None:
    assert arguments_of(pairs, whole) == arguments


@pytest.fixture
def configured(tmp_path: Path) -> str:
    write(starter(tmp_path, "development"))
    return str(tmp_path / "mantlet.yaml")


def test_the_configurations_key_is_shown_to_its_own_node_and_to_no_stranger(configured: str) -> None:
    """A URL from elsewhere must not be able to collect the administrator's key."""
    files = (configured,)
    own = target("admin", Wish(files=files), {})
    assert (own.url, own.token is not None) == ("http://127.0.0.1:9501", True)
    assert target("http", Wish(files=files), {}).url == "http://127.0.0.1:8000"
    assert target("http", Wish(url="http://localhost:99", files=files), {}).token is not None
    assert target("http", Wish(url="https://elsewhere.example", files=files), {}).token is None
    assert target("http", Wish(files=files), {"MANTLET_URL": "https://elsewhere.example"}).token is None


def test_options_come_before_variables_and_those_before_the_configuration(configured: str, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("from-file\n")
    file.chmod(0o600)
    environ = {"MANTLET_TOKEN": "from-variable", "MANTLET_ADMIN_URL": "http://127.0.0.1:1"}

    def token(wish: Wish, environ: dict[str, str]) -> str:
        found = target("admin", wish, environ).token
        return found.reveal() if found else ""

    assert token(Wish(token_file=str(file)), environ) == "from-file"
    assert token(Wish(), environ) == "from-variable"
    assert token(Wish(), {**environ, "MANTLET_TOKEN_FILE": str(file)}) == "from-file"
    assert token(Wish(token=Secret("said"), token_file=str(file)), environ) == "said"
    assert target("admin", Wish(), environ).url == "http://127.0.0.1:1"
    assert target("admin", Wish(url="http://127.0.0.1:2"), environ).url == "http://127.0.0.1:2"
    with pytest.raises(ConfigError, match="cannot be read"):
        target("admin", Wish(token_file=str(tmp_path / "none")), {})


@pytest.mark.parametrize(("path", "hint"), [("/mcp/desk", "--server desk"), ("/elsewhere", "leave the path out")])
def test_a_path_in_the_url_is_told_and_not_passed_over(path: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=hint):
        target("http", Wish(url=f"http://127.0.0.1:1{path}", token=Secret("t")), {})
    for known in ("", "/", "/mcp"):
        assert target("http", Wish(url=f"http://127.0.0.1:1{known}", token=Secret("t")), {})


def test_a_broken_configuration_is_told_with_the_way_around_it(tmp_path: Path) -> None:
    broken, token = tmp_path / "mantlet.yaml", tmp_path / "token"
    broken.write_text("environment: development\nhtpp: {}\n")
    token.touch(0o600)
    token.write_text("from-file")
    with pytest.raises(ConfigError, match="htpp") as refused:
        target("admin", Wish(files=[str(broken)]), {})
    assert "--url URL --token-file FILE" in failures.told(refused.value)
    assert target("admin", Wish("http://127.0.0.1:1", None, str(token), [str(broken)]), {}).url == "http://127.0.0.1:1"
