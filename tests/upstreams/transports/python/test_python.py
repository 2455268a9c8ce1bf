"""Servers that are objects of this process: found, run apart from the node's loop, and started again."""

import asyncio
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.transports.channel.support import call, initialize, result_of, text_of, tool, until
from tests.upstreams.transports.peers import MCP1_PYTHON, ROOT, SERVERS, SOON, Recorder, served, within
from tests.upstreams.transports.python import objects

from mantlet.core.refusal import BadUpstream, Overloaded, UpstreamUnavailable
from mantlet.upstreams.transports.python import connector as connector_module
from mantlet.upstreams.transports.python.config import PythonServerConfig
from mantlet.upstreams.transports.python.connector import PythonConnector
from mantlet.upstreams.transports.python.loading import load, look_for

OBJECTS = "tests.upstreams.transports.python.objects"


def configured(name: str, **settings: Any) -> PythonServerConfig:
    settings.setdefault("restart", SOON)
    return PythonServerConfig(name="test", object=f"{OBJECTS}:{name}", **settings)


def made(name: str, **settings: Any) -> tuple[PythonServerConfig, PythonConnector]:
    config = configured(name, **settings)
    return config, PythonConnector(config)


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "python:test"]


@pytest.mark.parametrize("name", ["sdk", "make_sdk", "make_later", "fast", "make_fast", "low", "Holder.server"])
@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_every_kind_of_server_answers_in_both_eras(name: str, era: str) -> None:
    async with served(*made(name)) as server:
        options: dict[str, Any] = {"era": era}
        if era == "legacy":
            options["session"] = await initialize(server)
        assert text_of(await server.send(tool("add", {"a": 1, "b": 2}, **options))) == "3"
        listed = result_of(await server.send(call("tools/list", **options)))
        assert "add" in {one["name"] for one in listed["result"]["tools"]}
    await until(lambda: not own_threads())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("no_such_package_x:server", "no_such_package_x cannot be imported: ModuleNotFoundError"),
        (f"{OBJECTS}:nothing", "has no nothing"),
        (f"{OBJECTS}:sdk.nothing", "has no sdk.nothing"),
        (f"{OBJECTS}:number", "neither an MCP server nor a function"),
        ("tests.upstreams.transports.python.broken:server", "cannot be imported: ZeroDivisionError"),
    ],
)
def test_what_cannot_be_a_server_is_told_at_start(name: str, why: str) -> None:
    with pytest.raises(ValueError, match="object: ") as raised:
        load(name)
    assert why in str(raised.value)


def test_looking_for_a_package_runs_none_of_its_code() -> None:
    look_for("tests.upstreams.transports.python.broken:server")
    with pytest.raises(ValueError, match="no package no_such_package_x"):
        look_for("no_such_package_x:server")


@pytest.mark.parametrize(
    "name", ["server", ":server", "a.b", "a b:c", "a:b()", "a:b:c", "../a:b", "1a:b", "a:", "a..b:c"]
)
def test_object_is_module_and_attribute(name: str) -> None:
    with pytest.raises(ValueError, match=r"package\.module:attribute"):
        PythonServerConfig(name="test", object=name)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("make_failing", "no database"),
        ("make_nothing", "NoneType is no MCP server"),
        ("make_exiting", "SystemExit(4)"),
        ("ending", "came to its end"),
    ],
)
async def test_a_server_that_cannot_be_made_is_unavailable_and_tried_again(name: str, why: str) -> None:
    """RES-06"""
    async with served(*made(name)) as server:
        with pytest.raises(UpstreamUnavailable) as raised:
            await server.send(tool("add"))
        assert why in raised.value.why
        await until(lambda: server._primary.starts > 2)
    await until(lambda: not own_threads())


async def test_a_tool_that_exits_ends_its_server_and_nothing_else() -> None:
    objects.entered.clear()
    async with served(*made("make_sdk")) as server:
        with pytest.raises(BadUpstream) as raised:
            await server.send(tool("leave"))
        assert "SystemExit(3)" in raised.value.why
        await until(lambda: server._primary.state == "healthy")
        assert text_of(await server.send(tool("add", {"a": 1, "b": 2}))) == "3"
        assert objects.entered == ["made", "made"]
    await until(lambda: not own_threads())


async def test_a_tool_that_blocks_does_not_hold_the_nodes_loop() -> None:
    async with served(*made("make_sdk")) as server:
        assert text_of(await server.send(tool("add", {"a": 1, "b": 2}))) == "3"
        blocking = asyncio.ensure_future(server.send(tool("block", {"seconds": 0.5})))
        turns = 0
        while not blocking.done():
            await asyncio.sleep(0.001)
            turns += 1
        assert text_of(await blocking) == "blocked"
        assert turns > 20  # of a loop that would have made none


async def test_a_thread_that_never_comes_back_is_left_and_the_server_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connector_module, "MAX_STUCK", 1)
    _, connect = made("make_sdk")
    recorder = Recorder()
    channel = await connect(recorder, lambda _line: None)
    request = tool("block", {"seconds": 1}).body + b"\n"
    channel.write_line(request)
    await until(lambda: channel._their_taken_bytes > 0)
    await asyncio.sleep(0.1)  # the thread is in the tool by now; nothing tells
    began_s = time.monotonic()
    await within(channel.stop(0.05))
    assert time.monotonic() - began_s < 1
    assert recorder.whys == ["the server's code does not end"]
    with pytest.raises(UpstreamUnavailable, match="holds 1 threads"):
        await connect(Recorder(), lambda _line: None)
    await until(lambda: not own_threads())  # what comes back after all ends as it should


async def test_what_a_server_does_not_take_is_bounded() -> None:
    config, connect = made("make_sdk", max_unsent_bytes=200_000)
    async with served(config, connect) as server:
        assert text_of(await server.send(tool("add", {"a": 1, "b": 2}))) == "3"
        blocking = asyncio.ensure_future(server.send(tool("block", {"seconds": 0.3})))
        await asyncio.sleep(0.05)
        large = [server.send(tool("add", {"a": "x" * 50_000})) for _ in range(10)]
        outcomes = await asyncio.gather(*large, return_exceptions=True)
        assert sum(isinstance(outcome, Overloaded) for outcome in outcomes) >= 6
        await blocking


async def test_a_server_that_floods_waits_for_the_node() -> None:
    """Lines on their way are bounded, and none is lost."""
    said = 0

    class Flooding:
        def create_initialization_options(self) -> None:
            return None

        async def run(self, _reads: Any, writes: Any, _options: Any) -> None:
            nonlocal said
            from mcp.shared.message import SessionMessage
            from mcp_types import JSONRPCNotification

            for number in range(3_000):
                await writes.send(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method=f"n{number}")))
                said += 1
            await asyncio.Event().wait()

    _, connect = made("sdk")
    connect._make = Flooding
    recorder = Recorder()
    channel = await connect(recorder, lambda _line: None)
    time.sleep(0.5)  # the node's loop stands still
    assert said < 400
    await until(lambda: len(recorder.lines) == 3_000)
    assert recorder.lines[-1] == b'{"jsonrpc":"2.0","method":"n2999"}'
    await channel.stop(1)
    await until(lambda: not own_threads())


async def test_a_line_too_long_is_told() -> None:
    async with served(*made("make_sdk", max_line_bytes=2_000)) as server:
        with pytest.raises(BadUpstream, match="too large"):
            await server.send(tool("noisy"))
        assert text_of(await server.send(tool("add", {"a": 1, "b": 2}))) == "3"


async def test_close_in_mid_call_ends_the_call_and_the_thread() -> None:
    async with served(*made("make_sdk")) as server:
        holding = asyncio.ensure_future(server.send(tool("hold")))
        await until(lambda: server._primary.link is not None and len(server._primary.link.mux) == 1)
    outcome = (await asyncio.gather(holding, return_exceptions=True))[0]
    # The SDK may still have had a word for it.
    assert isinstance(outcome, BadUpstream) or "error" in result_of(outcome)
    await until(lambda: not own_threads())


def test_the_sdk_of_the_first_generation_is_served_too(tmp_path: Path) -> None:
    """In an environment that has it, and not the node: the code that knows the SDK, on lines of its own."""
    if not MCP1_PYTHON.exists():
        pytest.skip("mcp 1.x is not there: `make test-all`")
    transport = ROOT / "src/mantlet/upstreams/transports/python"
    program = f"""
import asyncio, importlib.util, json, sys
sys.path.insert(0, {str(SERVERS)!r})
sys.modules["mantlet"] = sys.modules["mantlet.upstreams"] = sys.modules["mantlet.upstreams.transports"] = object()
def get(name):
    spec = importlib.util.spec_from_file_location(name, {str(transport)!r} + "/" + name.rpartition(".")[2] + ".py")
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
sys.modules["mantlet.upstreams.transports.python"] = object()
loading = get("mantlet.upstreams.transports.python.loading")
serving = get("mantlet.upstreams.transports.python.serving")
def line(id, method, **params):
    message = {{"jsonrpc": "2.0", "method": method, "params": params, **({{"id": id}} if id else {{}})}}
    return json.dumps(message).encode()
async def main():
    said, is_open, is_done = [], asyncio.Event(), asyncio.Event()
    async def lines():
        client = dict(protocolVersion="2025-11-25", capabilities={{}}, clientInfo=dict(name="c", version="1"))
        yield line(1, "initialize", **client)
        await is_open.wait()
        yield line(0, "notifications/initialized")
        yield line(2, "tools/call", name="add", arguments=dict(a=1, b=2))
        yield b'{{"not": "a message"}}'
        yield line(3, "tools/call", name="add", arguments=dict(a=3, b=4))
        await asyncio.Event().wait()
    async def say(message):
        said.append(message)
        is_open.set()
        if len([one for one in said if b'"result"' in one]) == 3:
            is_done.set()
    serve = asyncio.ensure_future(serving.serve(loading.load("mcp1:server")(), lines(), say))
    await is_done.wait()
    print(b"".join(said).decode())
    serve.cancel()
asyncio.run(main())
"""
    done = subprocess.run(
        [str(MCP1_PYTHON), "-c", program], capture_output=True, text=True, timeout=30, cwd=tmp_path, check=False
    )
    assert '"serverInfo":{"name":"mcp1"' in done.stdout, done.stderr
    assert '"text":"3"' in done.stdout
    assert '"text":"7"' in done.stdout


def test_the_config_and_the_connector_do_not_import_the_sdk() -> None:
    program = (
        "import sys, mantlet.node.config.model, mantlet.upstreams.transports.python.connector as c;"
        "sys.exit('mcp' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
