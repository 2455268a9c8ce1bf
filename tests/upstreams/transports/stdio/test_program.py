"""Which program runs, and as whom (MCP-08)."""

import asyncio
import os
import pwd
from pathlib import Path

import pytest

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.transports.stdio.account import account_of
from mantlet.upstreams.transports.stdio.child import Program
from mantlet.upstreams.transports.stdio.config import RlimitsConfig, StdioServerConfig

IS_ROOT = os.geteuid() == 0
needs_root = pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")


class Ear:
    """What a program says, until it ends."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.closed = asyncio.Event()

    def on_line(self, line: bytes, /) -> None:
        self.lines.append(line.decode())

    def on_oversized(self, head: bytes, /) -> None:
        raise AssertionError

    def on_closed(self, why: str, /) -> None:
        self.closed.set()


def config_of(*command: str, **more: object) -> StdioServerConfig:
    return StdioServerConfig(name="p", command=list(command), **more)  # type: ignore[arg-type]


async def said(program: Program) -> list[str]:
    ear, words = Ear(), []
    child = await program(ear, words.append)
    async with asyncio.timeout(20):
        await ear.closed.wait()
        await child.ended.wait()
    await child.stop(1.0)
    return ear.lines + words


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return file


async def test_a_program_is_looked_for_once(tmp_path: Path) -> None:
    """MCP-08: whoever can write to a folder of PATH later changes nothing."""
    early, late = tmp_path / "early", tmp_path / "late"
    early.mkdir()
    script(late, "tool", "echo meant")
    program = Program(config_of("tool"), {"PATH": f"{early}:{late}"})
    script(early, "tool", "echo planted")
    assert await said(program) == ["meant"]


async def test_a_program_that_is_not_there_yet_is_looked_for_when_it_is_needed(tmp_path: Path) -> None:
    program = Program(config_of("tool"), {"PATH": str(tmp_path)})
    with pytest.raises(UpstreamUnavailable):
        await said(program)
    script(tmp_path, "tool", "echo here")
    assert await said(program) == ["here"]


@needs_root
async def test_a_program_runs_as_the_user_that_is_named() -> None:
    """MCP-08: uid, gid and groups, effective and saved; its home, and no way back."""
    nobody = pwd.getpwnam("nobody")
    asked = "id -u; id -g; id -G; grep -E '^(Uid|Gid):' /proc/self/status; echo $HOME"
    uid, gid, groups, *status, home = await said(Program(config_of("/bin/sh", "-c", asked, user="nobody"), {}))
    assert (int(uid), int(gid), home) == (nobody.pw_uid, nobody.pw_gid, nobody.pw_dir)
    assert 0 not in map(int, groups.split())
    assert {tuple(line.split()[1:]) for line in status[:2]} == {(uid,) * 4, (gid,) * 4}


@needs_root
async def test_its_limits_hold_and_it_cannot_read_what_the_node_can(tmp_path: Path) -> None:
    """MCP-08"""
    secret = tmp_path / "secret"
    secret.write_text("of the node")
    secret.chmod(0o600)
    command = ("/bin/sh", "-c", f"cat {secret}; ulimit -n; echo $HOME")
    limits = RlimitsConfig(files=77)
    told = await said(Program(config_of(*command, user="nobody", rlimits=limits, env={"HOME": "/else"}), {}))
    assert told[:2] == ["77", "/else"]
    assert "of the node" not in "".join(told)


def test_who_cannot_be_had_is_said_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """MCP-08"""
    with pytest.raises(ValueError, match="no user"):
        account_of("nobody-of-that-name")
    assert account_of(None) is None
    assert account_of(pwd.getpwuid(os.geteuid()).pw_name) is None
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    with pytest.raises(ValueError, match="as root"):
        account_of("nobody")
