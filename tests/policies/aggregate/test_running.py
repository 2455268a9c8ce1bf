"""The endpoint of all servers as it runs: three workers, real servers of both eras, real clients of both eras.

Three legacy servers (mcp 1.x) offer the same tools, so all names of the others are prefixed and their requests to the
client bear the same ids; one of them is a process of each session's own. A server of mcp 2.x serves both eras; one
behind stdio is shared by all.
"""

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import mcp_types as types
import pytest
import yaml
from bench.rig.gateway import Gateway, config, http, start_gateway, stdio
from bench.rig.process import ROOT, free_port, running
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

SERVERS = Path(__file__).parents[2] / "servers"
MCP1 = ROOT / ".venv-mcp1" / "bin" / "python"
WORKERS = 3

pytestmark = [
    pytest.mark.slow,
    pytest.mark.node,
    pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning"),
    pytest.mark.skipif(not MCP1.exists(), reason="mcp 1.x is not there: `make node`"),
]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("running")
    with contextlib.ExitStack() as stack:
        entries = []
        for name, python, program in (
            ("old", MCP1, "legacy_everything.py"),
            ("older", MCP1, "legacy_everything.py"),
            ("new", sys.executable, "everything.py"),
        ):
            port = free_port()
            command = [str(python), str(SERVERS / program), "--http", str(port)]
            stack.enter_context(running(command, port, folder / f"{name}.log"))
            entries.append(http(name, f"http://127.0.0.1:{port}/mcp"))
        entries.append(stdio("lines", sys.executable, str(SERVERS / "lines.py")))
        own = stdio("own", str(MCP1), str(SERVERS / "legacy_everything.py"), "--stdio")
        entries.append({**own, "isolation": "session", "start_timeout": 30})
        settings = config(entries)
        settings["http"]["workers"] = WORKERS
        settings["websocket"] = {"enabled": True, "host": "127.0.0.1", "port": free_port()}
        settings["mcp"]["virtual"] = [{"name": "few", "tools": ["echo", "older__*"]}]
        settings["mcp"]["limits"]["list_timeout_ms"] = 10_000
        opened = stack.enter_context(start_gateway(settings, folder / "node"))
        asyncio.run(_settle(opened))
        yield opened


async def _settle(gateway: Gateway) -> None:
    """Wait until every server answers: names go to who has them first, and on a busy machine that may be any."""
    for name in ("old", "older", "own", "new", ""):
        for mode in ("legacy", "2026-07-28"):
            async with asyncio.timeout(60), connected(gateway, mode, Person("zoe"), endpoint=name) as client:
                while True:
                    with contextlib.suppress(MCPError):
                        listed = await client.list_tools()
                        if not (listed.meta or {}).get("mantlet/errors"):
                            break
                    await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def socket(gateway: Gateway, subject: str, path: str = "/ws") -> AsyncIterator["Socket"]:
    import websockets

    settings = yaml.safe_load((gateway.folder / "mantlet.yaml").read_text())
    url = f"ws://127.0.0.1:{settings['websocket']['port']}{path}"
    headers = {"Authorization": f"Bearer {gateway.mint(subject)}"}
    async with websockets.connect(url, subprotocols=["mcp"], additional_headers=headers) as opened:  # type: ignore[list-item]
        yield Socket(opened)


class Socket:
    """Messages over one connection."""

    def __init__(self, opened: Any) -> None:
        self._opened = opened

    async def say(self, **message: Any) -> None:
        await self._opened.send(json.dumps({"jsonrpc": "2.0", **message}))

    async def hear(self, wanted: Any) -> Any:
        async with asyncio.timeout(20):
            while True:
                message = json.loads(await self._opened.recv())
                if wanted(message):
                    return message


class Person:
    """Who sits before a client: answers with a name of its own, and remembers what came unasked."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        self.updated: asyncio.Queue[str] = asyncio.Queue()
        self.changed = asyncio.Event()
        self.logged: asyncio.Queue[Any] = asyncio.Queue()

    async def elicit(self, _: Any, params: Any) -> types.ElicitResult:
        self.asked.append(params.message)
        return types.ElicitResult(action="accept", content={"name": self.name})

    async def sample(self, _: Any, params: Any) -> types.CreateMessageResult:
        text = f"{self.name} says {params.messages[0].content.text}"
        return types.CreateMessageResult(
            role="assistant", model="test", content=types.TextContent(type="text", text=text)
        )

    async def roots(self, _: Any) -> types.ListRootsResult:
        return types.ListRootsResult(roots=[types.Root(uri=f"file:///{self.name}")])

    async def log(self, params: Any) -> None:
        self.logged.put_nowait(params.data)

    async def hear(self, message: Any) -> None:
        if isinstance(message, types.ResourceUpdatedNotification):
            self.updated.put_nowait(str(message.params.uri))
        elif isinstance(message, types.ToolListChangedNotification):
            self.changed.set()


@contextlib.asynccontextmanager
async def connected(gateway: Gateway, mode: str, person: Person, *, endpoint: str = "") -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {gateway.mint(person.name)}"}
    # No connection is used twice, so that each message may land on another worker.
    limits = httpx2.Limits(max_keepalive_connections=0)
    async with httpx2.AsyncClient(headers=headers, timeout=30, limits=limits) as client:
        transport = streamable_http_client(gateway.mcp(endpoint), http_client=client)
        async with Client(
            transport,
            mode=mode,
            elicitation_callback=person.elicit,
            sampling_callback=person.sample,
            list_roots_callback=person.roots,
            logging_callback=person.log,
            message_handler=person.hear,
        ) as opened:
            yield opened


def text_of(result: Any) -> str:
    return " ".join(part.text for part in result.content)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_all_tools_are_there_and_lead_to_their_servers(gateway: Gateway, mode: str) -> None:
    async with connected(gateway, mode, Person("ann")) as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert {"echo", "older__echo", "new__echo"} <= names
        for name in ("echo", "older__echo", "new__echo"):
            assert text_of(await client.call_tool(name, {"message": name})) == name
        failed = await client.call_tool("fail", {"message": "on purpose"})
        assert failed.is_error
        resources = {str(resource.uri) for resource in (await client.list_resources()).resources}
        assert {"test://static/text", "test://counter"} <= resources
        read = await client.read_resource("test://static/text")
        assert read.contents[0].text == "static text"  # type: ignore[union-attr]
        prompt = await client.get_prompt("older__greet", {"name": "Bo"})
        assert "Bo" in prompt.messages[0].content.text  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_servers_ask_the_client_and_each_gets_its_own_answer(gateway: Gateway, mode: str) -> None:
    """MCP-05: elicitation, sampling and roots of two servers at once, for three people at once."""

    async def one(name: str) -> None:
        person = Person(name)
        async with connected(gateway, mode, person) as client:
            await client.list_tools()
            calls = []
            for prefix in ("", "older__", "own__"):
                calls += [client.call_tool(f"{prefix}ask", {"question": f"{name}?"}),
                          client.call_tool(f"{prefix}sample", {"prompt": "hi"})]  # fmt: skip
            said = [text_of(result) for result in await asyncio.gather(*calls)]
            assert said == [f"accept: {name}", f"test: {name} says hi"] * 3
            assert person.asked == [f"{name}?"] * 3

    await asyncio.gather(*(one(name) for name in ("ann", "bob", "cid")))


async def test_what_a_server_asks_on_the_sessions_own_stream_comes_through(gateway: Gateway) -> None:
    """The SDK asks for roots outside of the call's stream."""
    async with connected(gateway, "legacy", Person("dot")) as client:
        await client.list_tools()
        for name in ("roots", "older__roots", "own__roots"):
            assert "file:///dot" in text_of(await client.call_tool(name, {}))


async def test_a_legacy_client_hears_of_what_it_subscribed_to(gateway: Gateway) -> None:
    person = Person("eva")
    async with connected(gateway, "legacy", person) as client:
        await client.list_tools()
        await client.subscribe_resource("test://counter")
        # The stream joins in a moment after the session does; then nothing is lost.
        async with asyncio.timeout(20):
            while person.updated.empty():
                await client.call_tool("change", {})
                await asyncio.sleep(0.1)
        assert await person.updated.get() == "test://counter"
        await client.unsubscribe_resource("test://counter")
        await client.set_logging_level("debug")
        assert "debug" in text_of(await client.call_tool("log", {"text": "hello"}))
        async with asyncio.timeout(10):
            assert await person.logged.get() == "hello"


async def test_a_modern_client_listens_to_all_servers_at_once(gateway: Gateway) -> None:
    async with connected(gateway, "2026-07-28", Person("fay")) as client:
        await client.list_tools()
        async with client.listen(tools_list_changed=True, resource_subscriptions=["test://counter"]) as listening:
            assert listening.honored.resource_subscriptions == ["test://counter"]
            assert listening.honored.tools_list_changed
            heard = asyncio.Event()
            async with asyncio.timeout(20), asyncio.TaskGroup() as group:
                group.create_task(_keep_changing(client, heard))
                async for event in listening:
                    if type(event).__name__ == "ResourceUpdated":
                        break
                heard.set()


async def _keep_changing(client: Client, heard: asyncio.Event) -> None:
    while not heard.is_set():
        await client.call_tool("change", {})
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_progress_and_cancellation_find_the_call(gateway: Gateway, mode: str) -> None:
    """MCP-07: with every message on a connection of its own, so on any of the workers."""
    async with connected(gateway, mode, Person("gil")) as client:
        await client.list_tools()
        steps: list[float] = []

        async def on_progress(progress: float, _total: float | None, _message: str | None) -> None:
            steps.append(progress)

        await client.call_tool("older__progress", {"steps": 3}, progress_callback=on_progress)
        assert steps == [1, 2, 3]
        for turn in range(4):
            tag = f"{mode}-{turn}"
            calling = asyncio.ensure_future(client.call_tool("older__slow", {"seconds": 60, "tag": tag}))
            witness = ""
            async with asyncio.timeout(20):
                while tag not in witness:
                    witness = text_of(await client.call_tool("older__witness", {}))
                calling.cancel()
                await asyncio.wait({calling})
                while witness.count(tag) < 2:
                    witness = text_of(await client.call_tool("older__witness", {}))


@pytest.mark.parametrize("mode", ["legacy", "2026-07-28"])
async def test_a_virtual_server_is_a_server(gateway: Gateway, mode: str) -> None:
    async with connected(gateway, mode, Person("hal"), endpoint="few") as client:
        names = {tool.name for tool in (await client.list_tools()).tools}
        assert "echo" in names
        assert all(name == "echo" or name.startswith("older__") for name in names)
        assert text_of(await client.call_tool("older__echo", {"message": "x"})) == "x"
        with pytest.raises(Exception, match="Unknown tool"):
            await client.call_tool("add", {"a": 1, "b": 2})


@pytest.mark.parametrize("path", ["/ws", "/ws/few"])
async def test_a_legacy_client_on_a_websocket_is_asked_too(gateway: Gateway, path: str) -> None:
    async with socket(gateway, "ida", path) as client:
        capabilities = {"elicitation": {}, "roots": {}}
        await client.say(id=1, method="initialize", params={"protocolVersion": "2025-11-25",
                         "capabilities": capabilities, "clientInfo": {"name": "c", "version": "1"}})  # fmt: skip
        await client.hear(lambda m: m.get("id") == 1)
        await client.say(method="notifications/initialized")
        await client.say(id=2, method="tools/call", params={"name": "older__ask", "arguments": {"question": "?"}})
        question = await client.hear(lambda m: m.get("method") == "elicitation/create")
        await client.say(id=question["id"], result={"action": "accept", "content": {"name": "Ida"}})
        answer = await client.hear(lambda m: m.get("id") == 2)
        assert answer["result"]["content"][0]["text"] == "accept: Ida"


async def test_a_modern_client_on_a_websocket_listens_to_all(gateway: Gateway) -> None:
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    async with socket(gateway, "jon") as client:
        wanted = {"resourceSubscriptions": ["test://counter"]}
        await client.say(id="s", method="subscriptions/listen", params={"_meta": meta, "notifications": wanted})
        agreed = await client.hear(lambda m: m.get("method") == "notifications/subscriptions/acknowledged")
        assert agreed["params"]["notifications"] == wanted
        await client.say(id=1, method="tools/call", params={"_meta": meta, "name": "change", "arguments": {}})
        event = await client.hear(lambda m: m.get("method") == "notifications/resources/updated")
        assert event["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "s"}
