"""What a program cannot do: reach into other processes and into the kernel, or leave its paths (spec 9.1, MCP-08)."""

import ctypes
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.upstreams.transports.channel.conftest import opened  # noqa: F401 - a fixture
from tests.upstreams.transports.channel.support import server_command, text_of, tool

from mantlet.core.refusal import UpstreamUnavailable
from mantlet.upstreams.transports.stdio import confinement
from mantlet.upstreams.transports.stdio.child import LAUNCHER
from mantlet.upstreams.transports.stdio.config import PathsConfig, StdioServerConfig
from mantlet.upstreams.transports.stdio.guard import guard

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="means of Linux")


@pytest.fixture
def events() -> list[object]:
    return []


ABI = ctypes.CDLL(None).syscall(444, None, ctypes.c_size_t(0), 1) if sys.platform == "linux" else 0
needs_landlock = pytest.mark.skipif(ABI < 1, reason="a kernel without Landlock")
needs_scopes = pytest.mark.skipif(ABI < 6, reason="a kernel whose Landlock knows no signals")
PROLOGUE = """
import ctypes, json, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
def said(number, *words):
    return ctypes.get_errno() if libc.syscall(number, *words) < 0 else 0
def tried(work):
    try:
        work()
    except OSError as error:
        return error.errno
    return 0
"""


def run(tmp_path: Path, code: str, *, check: bool = True, **more: Any) -> Any:
    """What `code` prints as JSON, run as a server is."""
    script = tmp_path / "script.py"
    script.write_text(PROLOGUE + code)
    command = [sys.executable, str(script)]
    config = StdioServerConfig(name="t", command=command, cwd=str(tmp_path), **more)
    ours, theirs = os.pipe()  # the launcher waits for the end of what it can read here
    lifeline = os.dup(theirs)
    os.close(theirs)
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", LAUNCHER, str(ours), guard(config, None, command), *command],
            pass_fds=(ours,), capture_output=True, text=True, timeout=20, cwd=tmp_path, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(lifeline)
    if not check:
        return done
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_calls_that_reach_into_processes_or_the_kernel_are_refused(tmp_path: Path) -> None:
    column = confinement.MACHINES[os.uname().machine][0]
    numbers = {name: pair[column] for name, pair in confinement.REFUSED.items() if pair[column] is not None}
    code = f"print(json.dumps({{name: said(number, 0, 0, 0, 0, 0) for name, number in {numbers!r}.items()}}))"
    assert run(tmp_path, code) == dict.fromkeys(numbers, 1)


def test_what_every_runtime_needs_goes_through(tmp_path: Path) -> None:
    code = """
import socket, subprocess, tempfile, threading
threading.Thread(target=lambda: None).start()
tempfile.TemporaryFile().write(b"x")
one, two = socket.socketpair()
child = subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, check=True)
print(json.dumps(int(child.stdout)))
"""
    assert run(tmp_path, code) == 1


@needs_scopes
def test_the_node_is_neither_looked_into_nor_signalled(tmp_path: Path) -> None:
    """Also by a program of the node's own user: what the node was given stays with it. Root may look (CAP_PERFMON)."""
    node = os.getpid()
    code = f"""
print(json.dumps([
    tried(lambda: open("/proc/{node}/environ", "rb").read()), tried(lambda: open("/proc/{node}/mem", "rb").read(1)),
    tried(lambda: os.readlink("/proc/{node}/fd/0")),
    tried(lambda: os.kill({node}, 0)), tried(lambda: os.kill(os.getpid(), 0)),
    open("/proc/self/oom_score_adj").read().strip(), os.umask(0),
]))
"""
    found = run(tmp_path, code)
    assert found[:3] == [0 if os.geteuid() == 0 else 13, 13, 13]
    assert found[3:5] == [1, 0]
    assert int(found[5]) >= 500
    assert found[6] == 0o077
    without = run(tmp_path, code, sandbox="off", umask="022")
    assert without[:5] == [0, 5, 0, 0, 0]
    assert without[6] == 0o022


@needs_landlock
def test_a_program_with_paths_is_kept_to_them(tmp_path: Path) -> None:
    for name in ("read", "write", "neither"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "file").write_text("x")
    (tmp_path / "here").mkdir()
    data = tmp_path / "data"
    code = f"""
def reading(name): return tried(lambda: open("{data}/" + name + "/file").read())
def writing(name): return tried(lambda: open("{data}/" + name + "/file", "a").write("y"))
def making(name): return tried(lambda: os.mkdir("{data}/" + name + "/new"))
names = ("read", "write", "neither")
open("/dev/null", "w").write("x")
import ssl, sqlite3, encodings.idna
print(json.dumps([list(map(work, names)) for work in (reading, writing, making)]))
"""
    paths = PathsConfig(read=(str(data / "read"),), write=(str(data / "write"),))
    assert run(tmp_path / "here", code, paths=paths) == [[0, 0, 13], [13, 0, 13], [13, 0, 13]]


@needs_landlock
def test_a_path_that_is_not_there_is_no_start(tmp_path: Path) -> None:
    done = run(tmp_path, "", paths=PathsConfig(write=(str(tmp_path / "nowhere"),)), check=False)
    assert done.returncode == 127
    assert done.stderr.rstrip().endswith(
        f"No such file or directory: {tmp_path}/nowhere (with paths of its configuration)"
    )


def test_a_kernel_that_cannot_is_no_start_where_paths_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(confinement.ctypes, "CDLL", lambda *_, **__: type("Old", (), {"syscall": lambda *_: -1}))
    assert not confinement.keep_apart([], [], True)
    assert not confinement.keep_apart([], [], False)


def test_what_belongs_to_an_installation_is_read_and_the_home_around_it_is_not(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "server"
    for name in ("bin", "lib", "documents"):
        (tmp_path / name).mkdir()
    program.write_text("")
    config = StdioServerConfig(name="t", command=["server"], cwd="/srv", paths=PathsConfig(read=("/a,b",)))
    words = guard(config, None, [str(program)]).split(",")
    readable = [bytes.fromhex(word[5:]).decode() for word in words if word.startswith("READ=")]
    assert readable == ["/srv", str(program), str(tmp_path / "bin"), str(tmp_path / "lib"), "/a,b"]


async def test_a_real_server_runs_with_paths(opened, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]  # noqa: F811
    if ABI < 1:
        with pytest.raises(UpstreamUnavailable):
            async with opened(server_command("lines.py", "--era", "modern"), paths=PathsConfig()):
                pass
        return
    async with opened(server_command("lines.py", "--era", "modern"), paths=PathsConfig()) as server:
        assert json.loads(text_of(await server.send(tool("echo", {"a": 1})))) == {"a": 1}
