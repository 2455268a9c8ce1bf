"""What the kernel lets a child use (spec 9.1, MCP-08)."""

import json
import resource
import sys

import pytest
from tests.upstreams.transports.channel.conftest import opened  # noqa: F401 - a fixture
from tests.upstreams.transports.channel.support import server_command, text_of, tool

from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.upstreams.transports.stdio.config import RlimitsConfig

MODERN = server_command("lines.py", "--era", "modern")


@pytest.fixture
def events() -> list[object]:
    return []


async def test_a_child_has_the_limits_it_is_given_and_cannot_raise_them(opened) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    limits = RlimitsConfig(files=64, memory=200_000_000, file_size=1_000_000)
    async with opened(MODERN, rlimits=limits) as server:
        got = json.loads(text_of(await server.send(tool("rlimits"))))
        assert got["NOFILE"] == [64, 64]
        assert got["DATA"] == [200_000_000, 200_000_000]
        assert got["FSIZE"] == [1_000_000, 1_000_000]
        assert got["CORE"] == [0, 0]
        assert got["NPROC"] == list(resource.getrlimit(resource.RLIMIT_NPROC))
        if sys.platform == "linux":
            with pytest.raises((BadUpstream, UpstreamUnavailable)):
                await server.send(tool("allocate", {"size": 400_000_000}))


async def test_a_limit_above_the_nodes_own_is_the_nodes_own(opened) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with opened(MODERN, rlimits=RlimitsConfig(files=hard + 1)) as server:
        got = json.loads(text_of(await server.send(tool("rlimits"))))
        assert got["NOFILE"] == [hard, hard]
