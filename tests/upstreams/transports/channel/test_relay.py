"""Workers that share one child over a socket."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.transports.channel.support import (
    PlainSealer,
    call,
    events_of,
    initialize,
    messages,
    server_command,
    spawning,
    text_of,
    tool,
    until,
)

from mantlet.core.refusal import BadUpstream, EraUnavailable
from mantlet.upstreams.transports.channel.config import RestartConfig
from mantlet.upstreams.transports.channel.relay import Relay
from mantlet.upstreams.transports.channel.server import ChannelServer
from mantlet.upstreams.transports.channel.socket_channel import SocketChannel
from mantlet.upstreams.transports.stdio.config import StdioServerConfig


@asynccontextmanager
async def house(era: str, tmp_path: Path, workers: int = 2) -> AsyncIterator[tuple[ChannelServer, list[ChannelServer]]]:
    """An owner and its workers, all in this process: they share nothing but the socket."""
    config = StdioServerConfig(
        name="test",
        command=server_command("lines.py", "--era", era),
        restart=RestartConfig(backoff=0.05, max=0.5),
        stop_timeout=1.0,
    )
    sealer, path = PlainSealer(), str(tmp_path / "s")
    async with AsyncExitStack() as stack:
        owner = ChannelServer(config, sealer, spawning(config))
        relay = Relay(owner, config)
        await owner.start()
        stack.push_async_callback(owner.close)
        await relay.start(path)
        stack.push_async_callback(relay.close)
        others = [
            ChannelServer(config, sealer, partial(SocketChannel.connect, path, config), is_relayed=True)
            for _ in range(workers)
        ]
        for other in others:
            await other.start()
            stack.push_async_callback(other.close)
        yield owner, others


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_equal_ids_of_several_workers_never_meet(tmp_path: Path, era: str) -> None:
    """MCP-05"""
    async with house(era, tmp_path) as (owner, workers):
        everyone = [owner, *workers]
        session = await initialize(owner) if era == "legacy" else ""  # good on every worker: it is sealed

        async def one(server: ChannelServer, n: int) -> Any:
            held = tool("hold", {"tag": n}, id=1, era=era, session=session, meta={"progressToken": 1})
            return await events_of(await server.send(held))

        async with asyncio.TaskGroup() as group:
            held = [group.create_task(one(everyone[n % 3], n)) for n in range(90)]
            await until(lambda: owner._primary.link is not None and len(owner._primary.link.mux) == 90)
            await workers[0].send(tool("held_progress", era=era, session=session))
            await workers[1].send(tool("release", era=era, session=session))
        for n, task in enumerate(held):
            progress, answer = task.result()
            assert progress["params"]["message"] == n
            assert progress["params"]["progressToken"] == 1
            assert answer["id"] == 1
            assert json.loads(answer["result"]["content"][0]["text"]) == {"tag": n}


async def test_a_subscription_and_its_end_pass_through(tmp_path: Path) -> None:
    async with house("modern", tmp_path, 1) as (owner, (worker,)):
        listening = await worker.send(call("subscriptions/listen", {"notifications": {}}, id="sub"))
        told = messages(await anext(listening.body))  # type: ignore[arg-type]
        assert told[0]["params"]["_meta"] == {"io.modelcontextprotocol/subscriptionId": "sub"}
        await listening.body.aclose()  # type: ignore[union-attr]
        notes = json.loads(text_of(await worker.send(tool("notes"))))
        assert [note["method"] for note in notes] == ["notifications/cancelled"]
        assert owner._primary.link is not None
        assert len(owner._primary.link.mux) == 0


async def test_what_a_legacy_server_tells_everyone_reaches_every_worker(tmp_path: Path) -> None:
    async with house("legacy", tmp_path) as (_, workers):
        sessions = [await initialize(worker) for worker in workers]
        streams = [
            await worker.send(call("", era="legacy", kind="stream", session=session))
            for worker, session in zip(workers, sessions, strict=True)
        ]
        subscribe = {"uri": "a:b"}
        for worker, session in zip(workers, sessions, strict=True):
            await worker.send(call("resources/subscribe", subscribe, era="legacy", session=session))
        await workers[0].send(call("resources/unsubscribe", subscribe, era="legacy", session=sessions[0]))
        await workers[0].send(tool("updated", subscribe, era="legacy", session=sessions[0]))
        first, second = [messages(await anext(stream.body)) for stream in streams]  # type: ignore[arg-type]
        assert [message["method"] for message in first] == ["notifications/tools/list_changed"]
        assert len(second) == 2
        seen = json.loads(text_of(await workers[0].send(tool("seen", era="legacy", session=sessions[0]))))
        assert "resources/unsubscribe" not in seen
        assert seen.count("initialize") == 1
        for stream in streams:
            await stream.body.aclose()  # type: ignore[union-attr]


async def test_the_child_restarts_for_all(tmp_path: Path) -> None:
    async with house("modern", tmp_path, 1) as (_, (worker,)):
        with pytest.raises(BadUpstream):
            await worker.send(tool("exit"))
        await until(lambda: worker._primary.starts >= 2 and worker._primary.state == "healthy")
        assert text_of(await worker.send(tool("echo"))) == "{}"
        with pytest.raises(EraUnavailable):
            await initialize(worker)
