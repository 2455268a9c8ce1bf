"""Real modern clients through a whole gateway to real legacy servers: what they ask, tell, and wait for."""

import asyncio
import contextlib
import json
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
from bench.rig import node
from bench.rig.gateway import Gateway, config, http, start_gateway, stdio
from bench.rig.process import free_port, running
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

ROOT = Path(__file__).parents[3]
OLD = ROOT / ".venv-mcp1" / "bin" / "python"
LEGACY = ROOT / "tests" / "servers" / "legacy_everything.py"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not OLD.exists(), reason="the SDK of the legacy era is not installed (make test-all)"),
]


@contextlib.contextmanager
def legacy(*options: str) -> Iterator[int]:
    """A legacy server in a process of its own; gives its port."""
    command = [str(OLD), str(LEGACY), "--http", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("listening "), line
        yield int(line.split()[1])
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, Gateway]]:
    """One with a single process, one with two workers, before the same servers."""
    with contextlib.ExitStack() as stack:
        ports = {name: stack.enter_context(legacy(*options)) for name, options in
                 (("sse", ()), ("json", ("--json",)), ("stateless", ("--stateless",)))}  # fmt: skip
        servers = [http(name, f"http://127.0.0.1:{port}/mcp") for name, port in ports.items()]
        command = (str(OLD), str(LEGACY), "--stdio")
        servers.append({**stdio("child", *command), "isolation": "session", "max_children": 8})
        if not node.missing():
            port, folder = free_port(), tmp_path_factory.mktemp("npm")
            program = [*node.binary("mcp-server-everything"), "streamableHttp"]
            environment = {**node.environment(), "PORT": str(port)}
            stack.enter_context(running(program, port, folder / "log", environment))
            servers.append(http("npm", f"http://127.0.0.1:{port}/mcp"))
        opened = {}
        for workers in (1, 2):
            settings = config(servers)
            settings["http"]["workers"] = workers
            opened[workers] = stack.enter_context(start_gateway(settings, tmp_path_factory.mktemp(f"w{workers}")))
        yield opened


@pytest.fixture(params=[1, 2], ids=["1-worker", "2-workers"])
def gateway(request: pytest.FixtureRequest, gateways: dict[int, Gateway]) -> Gateway:
    return gateways[request.param]


@dataclass
class Person:
    """Who sits before the client: what was asked, and what is said."""

    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)
    steps: list[float] = field(default_factory=list)
    says: str = "accept"

    async def elicited(self, _: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        if getattr(params, "mode", "form") == "url":
            return types.ElicitResult(action="accept")
        content: Any = dict.fromkeys(params.requested_schema["properties"], "Ada")
        return types.ElicitResult(action=self.says, content=content if self.says == "accept" else None)

    async def sampled(self, _: Any, params: Any) -> types.CreateMessageResult:
        self.asked.append("sample")
        return types.CreateMessageResult(
            role="assistant", content=types.TextContent(type="text", text="Paris"), model="m"
        )

    async def rooted(self, _: Any) -> types.ListRootsResult:
        self.asked.append("roots")
        return types.ListRootsResult(roots=[types.Root(uri="file:///home/ada", name="ada")])

    async def logged(self, params: Any) -> None:
        self.told.append(params.data)

    async def progressed(self, progress: float, total: float | None, message: str | None) -> None:
        self.steps.append(progress)


@contextlib.asynccontextmanager
async def client(
    gateway: Gateway, server: str, person: Person | None = None, *, subject: str = "", **more: Any
) -> AsyncIterator[Client]:
    """A modern client. Each of its requests takes a new connection, so that it comes to whatever worker."""
    token = gateway.mint(subject) if subject else gateway.token
    callbacks = {} if person is None else {
        "elicitation_callback": person.elicited, "sampling_callback": person.sampled,
        "list_roots_callback": person.rooted, "logging_callback": person.logged,
    }  # fmt: skip
    async with httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"},
        timeout=30,
        limits=httpx2.Limits(max_keepalive_connections=0),
    ) as connections:
        way = streamable_http_client(gateway.mcp(server), http_client=connections)
        async with Client(way, mode="2026-07-28", **callbacks, **more) as made:
            yield made


def text(result: Any) -> str:
    return "\n".join(part.text for part in result.content if part.type == "text")


@pytest.mark.parametrize("server", ["sse", "json", "stateless", "child"])
async def test_a_modern_client_uses_a_legacy_server(gateway: Gateway, server: str) -> None:
    async with client(gateway, server) as c:
        assert "echo" in {tool.name for tool in (await c.list_tools()).tools}
        assert text(await c.call_tool("echo", {"message": "hi"})) == "hi"
        result = await c.call_tool("fail")
        assert result.is_error
        assert "on purpose" in text(result)
        assert result.meta["io.modelcontextprotocol/serverInfo"]["name"] == "legacy-everything"
        read = await c.read_resource("test://static/text")
        assert (read.contents[0].text, read.ttl_ms, read.cache_scope) == ("static text", 0, "private")
        assert (await c.get_prompt("greet", {"name": "Ada"})).messages[0].content.text == "Say hello to Ada."
        assert "Unknown resource" in (await _error(c.read_resource("test://none"))).message
        assert await asyncio.gather(*(_echo(c, str(n)) for n in range(20))) == [str(n) for n in range(20)]


async def _echo(c: Client, message: str) -> str:
    return text(await c.call_tool("echo", {"message": message}))


async def _error(work: Any) -> MCPError:
    with pytest.raises(MCPError) as raised:
        await work
    return raised.value


@pytest.mark.parametrize("server", ["sse", "child"])
async def test_elicitation_sampling_and_roots_reach_the_person(gateway: Gateway, server: str) -> None:
    person = Person()
    async with client(gateway, server, person) as c:
        assert text(await c.call_tool("ask")) == "accept: Ada"
        assert text(await c.call_tool("sample")) == "m: Paris"
        assert text(await c.call_tool("roots")) == "file:///home/ada"
        assert text(await c.call_tool("ask_both")) == "Ada Ada"
        assert text(await c.call_tool("ask_twice", progress_callback=person.progressed)) == "Ada Ada"
        assert text(await c.call_tool("visit")) == "accept"
        assert text(await c.call_tool("must_visit")) == "connected"
        person.says = "decline"
        assert text(await c.call_tool("ask")) == "decline"
    # Each worker keeps sessions of its own, so a server may want the page visited once for each.
    asked = [one for number, one in enumerate(person.asked) if person.asked[number - 1 : number] != [one]]
    assert asked == ["Your name?", "sample", "roots", *asked[3:5], "First name?", "Second name?", "Please consent.",
                     "Connect first.", "Your name?"]  # fmt: skip
    assert set(person.asked[3:5]) == {"One?", "Two?"}
    assert person.steps == [1]


async def test_many_clients_are_asked_each_for_its_own(gateway: Gateway) -> None:
    """AUTHZ-08"""

    async def one(number: int) -> None:
        person = Person()
        async with client(gateway, "sse", person, subject=f"user{number % 4}") as c:
            for round_ in range(5):
                question = f"{number}-{round_}?"
                assert text(await c.call_tool("ask", {"question": question})) == "accept: Ada"
                assert person.asked[-1] == question
                seen = json.loads(text(await c.call_tool("sessions")))
                assert seen["client"]["capabilities"] == {
                    "elicitation": {"form": {}, "url": {}}, "sampling": {}, "roots": {},
                }  # fmt: skip

    await asyncio.gather(*(one(number) for number in range(8)))


async def test_what_the_client_cannot_do_is_told_to_it(gateway: Gateway) -> None:
    async with client(gateway, "sse") as c:
        for tool, needed in (("ask", {"elicitation": {"form": {}}}), ("sample", {"sampling": {}})):
            error = await _error(c.call_tool(tool))
            assert (error.code, error.data) == (-32021, {"requiredCapabilities": needed})


async def test_progress_and_log_messages_come_with_the_call(gateway: Gateway) -> None:
    person = Person()
    async with client(gateway, "sse", person) as c:
        assert text(await c.call_tool("progress", progress_callback=person.progressed)) == "3 steps"
        assert person.steps == [1, 2, 3]
        await c.call_tool("log", {"text": "not asked for"})
        level: Any = {"io.modelcontextprotocol/logLevel": "warning"}
        await c.call_tool("log", {"level": "info", "text": "too little"}, meta=level)
        await c.call_tool("log", {"level": "error", "text": "asked for"}, meta=level)
        assert person.told == ["asked for"]


async def test_leaving_cancels_the_work_within_a_second(gateway: Gateway) -> None:
    """MCP-07"""
    for person in (None, Person()):
        async with client(gateway, "sse", person) as c:
            tag = f"{gateway.url} {person is None}"
            task = asyncio.ensure_future(c.call_tool("slow", {"tag": tag}))
            await _until(c, "started", tag)
            task.cancel()
            await asyncio.wait([task])
            async with asyncio.timeout(1):
                await _until(c, "cancelled", tag)


async def _until(c: Client, what: str, tag: str) -> None:
    while True:
        result = await c.call_tool("witness")
        if tag in json.loads(text(result))[what]:
            return
        await asyncio.sleep(0.02)


async def test_changes_are_heard_on_a_subscription(gateway: Gateway) -> None:
    async with client(gateway, "sse") as c:
        async with c.listen(tools_list_changed=True, resource_subscriptions=["test://counter"]) as subscription:
            assert subscription.honored.tools_list_changed is True
            assert subscription.honored.resource_subscriptions == ["test://counter"]
            assert subscription.honored.resources_list_changed is None
            assert int(text(await c.call_tool("change"))) >= 1
            async with asyncio.timeout(5):
                assert "counter" in str(await anext(subscription))
        async with asyncio.timeout(5):
            while int(text(await c.call_tool("change"))):
                await asyncio.sleep(0.05)  # the last to leave unsubscribes


async def test_a_server_that_was_started_anew_is_greeted_anew(tmp_path: Path) -> None:
    port = free_port()

    async def echoed() -> str:
        async with client(gateway, "one", Person()) as c:
            return text(await c.call_tool("ask"))

    command = [str(OLD), str(LEGACY), "--http", str(port)]
    with contextlib.ExitStack() as first, start_gateway(config([http("one", f"http://127.0.0.1:{port}/mcp")]),
                                                        tmp_path / "node") as gateway:  # fmt: skip
        first.enter_context(running(command, port, tmp_path / "1.log"))
        assert await echoed() == "accept: Ada"
        first.close()
        with running(command, port, tmp_path / "2.log"):
            assert await echoed() == "accept: Ada"


@pytest.mark.node
@pytest.mark.skipif(bool(node.missing()), reason=node.missing() or "node")
async def test_the_reference_server_of_the_legacy_era(gateway: Gateway) -> None:
    person = Person()
    async with client(gateway, "npm", person) as c:
        tools = {tool.name for tool in (await c.list_tools()).tools}
        assert "echo" in tools
        await c.call_tool("echo", {"message": "hi"})
        async with asyncio.timeout(10):
            # It learns of the client's roots on its own, some time after the handshake, and offers more tools then.
            while "trigger-sampling-request" not in tools:
                tools = {tool.name for tool in (await c.list_tools()).tools}
        sampled = await c.call_tool("trigger-sampling-request", {"prompt": "capital?"})
        assert "Paris" in text(sampled)
        elicited = await c.call_tool("trigger-elicitation-request")
        assert not elicited.is_error
        assert "Ada" in text(elicited)
        result = await c.call_tool(
            "trigger-long-running-operation", {"duration": 1, "steps": 3}, progress_callback=person.progressed
        )
        assert not result.is_error
        assert person.steps == [1, 2, 3]
        assert "file:///home/ada" in text(await c.call_tool("get-roots-list"))
        url = await c.call_tool("trigger-url-elicitation", {"url": "https://example.com/", "errorPath": True})
        assert not url.is_error
    assert {"sample", "roots"} <= set(person.asked)
