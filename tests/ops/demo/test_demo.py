"""The demo as a process, with its real servers."""

import os
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

DEMO = [sys.executable, "-m", "mantlet", "demo", "--port", "0", "--admin-port", "0"]
LIMIT_S = 60


def test_once_calls_both_servers_is_refused_and_proves_its_trail(tmp_path: Path) -> None:
    """AUD-01, AUTHZ-07"""
    ran = subprocess.run(
        [*DEMO, "--once"],
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
        env={**os.environ, "TMPDIR": str(tmp_path), "ENVIRONMENT": "production"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for line in (
        r"tools/list as admin, both servers as one: add, convert_time, get_current_time, read_notes, write_note",
        r"tools/call get_current_time \(stdio server\): .*Europe/Berlin",
        r"tools/call add 19 23 \(HTTP server\): 42",
        r"tools/list as visitor: get_current_time, and nothing else",
        r"tools/call add as visitor: refused, denied \(4403\)",
        r"its audit record: .*verdict=deny reason=denied status=403 .*action=tools/call server=notes object=add",
        r"audit trail: \d+ records, [1-9]\d* signed checkpoints?, whole",
    ):
        assert re.search(line, ran.stdout), f"{line} is not in\n{ran.stdout}{ran.stderr}"
    assert list(tmp_path.iterdir()) == []


class Running:
    """A demo that has said that it is ready."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            DEMO,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
            start_new_session=True,
        )
        self.said = ""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if line.startswith("Ctrl-C"):
                break

    def section(self, title: str) -> str:
        found = re.search(rf"^{re.escape(title)}[^\n]*:\n((?:  [^\n]*\n|\n)+)", self.said, re.MULTILINE)
        assert found, self.said
        return textwrap.dedent(found[1])

    def program(self) -> str:
        """What is printed to be run by Python, at the beginning of the line."""
        found = re.search(r"^From Python[^\n]*:\n(.*?)^In the configuration", self.said, re.MULTILINE | re.DOTALL)
        assert found, self.said
        return found[1]

    def shell(self, command: str) -> str:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = {**os.environ, "PATH": path}
        done = subprocess.run(
            command, shell=True, capture_output=True, text=True, env=environ, cwd=self.folder, check=False
        )
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def servers(self) -> set[int]:
        """The processes below the demo."""
        found, wanted = set[int](), {self.process.pid}
        listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in (line.split() for line in listed.splitlines())}
        while new := {pid for pid, parent in parents.items() if parent in wanted} - found:
            found |= new
            wanted |= new
        return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.communicate()


@pytest.mark.slow
def test_what_is_printed_works_as_printed_and_ctrl_c_ends_it_all(demo: Running) -> None:
    (demo.folder / "client.py").write_text(demo.program())
    assert "Europe/Berlin" in demo.shell(f"{sys.executable} client.py")
    (demo.folder / "client.py").unlink()
    if shutil.which("curl"):
        assert "Europe/Berlin" in demo.shell(demo.section("From the shell"))
    for command in demo.section("With Mantlet's own commands").splitlines():
        demo.shell(command + (" --no-follow" if " tail " in command else ""))
    servers = demo.servers()
    assert len(servers) >= 2
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(LIMIT_S) == 0
    assert not [pid for pid in servers if Path(f"/proc/{pid}").exists()]
    assert list(demo.folder.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits for processes that are not its children")
def test_killed_demo_leaves_no_server_behind(demo: Running) -> None:
    import select

    servers = [os.pidfd_open(pid) for pid in demo.servers()]
    assert len(servers) >= 2
    demo.process.kill()
    for server in servers:
        assert select.select([server], [], [], LIMIT_S)[0], "a server has outlived the demo"
        os.close(server)
