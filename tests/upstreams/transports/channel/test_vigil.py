"""A child that hangs is found out, ended and started again: with bounds."""

import asyncio
import os
import signal
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from tests.upstreams.transports.channel.conftest import Open
from tests.upstreams.transports.channel.support import server_command, text_of, tool, until

from mantlet.core.clock import Clock
from mantlet.core.refusal import BadUpstream
from mantlet.upstreams.health.config import HealthConfig
from mantlet.upstreams.transports.channel.config import RestartConfig
from mantlet.upstreams.transports.channel.vigil import WINDOW_S, Budget
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

HASTE = HealthConfig(interval=0.1, timeout=0.1, recheck=0.05, fall=2)
COMMANDS = {era: server_command("lines.py", "--era", era) for era in ("modern", "legacy")}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mantlet.upstreams.health.prober.MIN_GAP_S", 0.0)


def told(events: list[Any], name: str) -> list[dict[str, Any]]:
    return [fields for event, fields in events if event == name]


async def pid_of(server: Any) -> int:
    return int((await server.health())["pid"])


@pytest.mark.parametrize("era", ["modern", "legacy"])
async def test_a_child_that_hangs_is_ended_and_started_again(opened: Open, events: list[Any], era: str) -> None:
    """RES-06"""
    async with opened(COMMANDS[era], health=HASTE, stop_timeout=0.2) as server:
        await until(lambda: server._primary.state == "healthy")
        pid = await pid_of(server)
        os.kill(pid, signal.SIGSTOP)
        held = asyncio.ensure_future(server.send(tool("echo"))) if era == "modern" else None
        await until(lambda: server._primary.starts == 2 and server._primary.state == "healthy")
        assert await pid_of(server) != pid
        if held is not None:
            with pytest.raises(BadUpstream):
                await held
            assert text_of(await server.send(tool("echo"))) == "{}"
        (hung,) = told(events, "stdio.hung")  # evidence
        assert "no answer" in hung["reason"]
        assert "it hangs" in told(events, "stdio.restarting")[0]["reason"]


async def test_one_that_lives_is_left_alone(opened: Open, events: list[Any]) -> None:
    async with opened(COMMANDS["modern"], health=HASTE) as server:
        await until(lambda: server._primary.state == "healthy")
        link = server._primary.link
        assert link is not None
        before = link.heard
        await until(lambda: link.heard >= before + 5)
        assert server._primary.starts == 1
        assert not told(events, "stdio.hung")


async def test_when_the_cap_is_reached_it_is_left_and_called_unhealthy(opened: Open, events: list[Any]) -> None:
    """RES-06: no storm of restarts."""
    restart = RestartConfig(backoff=0.05, max=0.5, max_hung=1)
    async with opened(COMMANDS["modern"], health=HASTE, restart=restart, stop_timeout=0.2) as server:
        for _ in range(2):
            await until(lambda: server._primary.state == "healthy")
            os.kill(await pid_of(server), signal.SIGSTOP)
            await until(lambda: server._primary.state == "unhealthy")
            await until(lambda: server._primary.link is None or len(told(events, "stdio.hung")) == 2)
        assert server._primary.starts == 2
        health = await server.health()
        assert health["state"] == "unhealthy"
        assert "it hangs" in health["reason"]
        os.kill(health["pid"], signal.SIGCONT)  # and when it lives again, it is well
        await until(lambda: server._primary.state == "healthy")
        assert server._primary.starts == 2


async def test_a_server_that_works_on_a_call_and_says_so_does_not_hang(opened: Open) -> None:
    async with opened(COMMANDS["modern"], health=HASTE) as server:
        await until(lambda: server._primary.state == "healthy")
        supervisor = server._primary
        assert supervisor.link is not None
        os.kill(await pid_of(server), signal.SIGSTOP)

        async def murmur() -> None:
            """Lines of progress: of calls that nobody waits for any more."""
            while True:
                if supervisor.link is not None:
                    supervisor.link.on_line(b'{"jsonrpc":"2.0","method":"notifications/progress","params":{}}')
                await asyncio.sleep(0.01)

        murmuring = asyncio.ensure_future(murmur())
        await asyncio.sleep(0)
        link = supervisor.link
        await until(lambda: link.heard > 60)
        assert supervisor.starts == 1
        murmuring.cancel()
        os.kill(await pid_of(server), signal.SIGCONT)


def test_the_budget_is_of_a_true_window() -> None:
    now = {"s": 0.0}
    monotonic: Callable[[], float] = lambda: now["s"]  # noqa: E731
    budget = Budget(2, Clock(monotonic, monotonic))
    assert [budget.take() for _ in range(3)] == [True, True, False]
    now["s"] = WINDOW_S - 0.1
    assert not budget.take()
    now["s"] = WINDOW_S
    assert [budget.take() for _ in range(3)] == [True, True, False]
    assert not Budget(0, Clock(monotonic, monotonic)).take()


@pytest.mark.parametrize("health", [{"probe": "tcp"}, {"path": "/healthz"}])
def test_a_channel_is_asked_in_mcp(health: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError, match="in MCP"):
        msgspec.convert({"name": "a", "command": ["x"], "health": health}, StdioServerConfig)
