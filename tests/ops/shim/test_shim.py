"""The real command, run as an MCP client or an operator runs it."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SERVER = str(Path(__file__).parents[2] / "servers" / "lines.py")
CHANGE = 30.0


class Shim:
    """A shim under way, its stdin and stdout in our hands."""

    def __init__(self, locks: Path, *words: str, command: tuple[str, ...] = (sys.executable, SERVER)) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mantlet", "shim", "tool", "--lock-dir", str(locks), *words, "--", *command],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def ask(self, method: str, params: dict[str, Any] | None = None) -> dict[str, Any]:
        assert self.process.stdin
        assert self.process.stdout
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params or {}}
        self.process.stdin.write(json.dumps(message).encode() + b"\n")
        self.process.stdin.flush()
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def echo(self) -> Any:
        answer = self.ask("tools/call", {"name": "echo", "arguments": {"a": 1}})
        return json.loads(answer["result"]["content"][0]["text"])

    def end(self) -> tuple[int, list[dict[str, Any]]]:
        _, err = self.process.communicate(timeout=CHANGE)
        notes = [json.loads(line) for line in err.decode().splitlines() if line.startswith("{")]
        return self.process.returncode, notes


Start = Callable[..., Shim]


@pytest.fixture
def start(tmp_path: Path) -> Any:
    started: list[Shim] = []

    def begin(*words: str, **more: Any) -> Shim:
        started.append(Shim(tmp_path / "locks", *words, **more))
        return started[-1]

    yield begin
    for shim in started:
        shim.process.kill()
        shim.process.communicate()


def until(is_so: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + CHANGE
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_it_stands_where_the_server_stands(start: Start) -> None:
    shim = start()
    assert shim.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})["result"]["serverInfo"]
    assert shim.echo() == {"a": 1}
    assert shim.ask("tools/exec")["error"]["data"]["reason"] == "denied"
    code, notes = shim.end()
    assert code == 0
    assert [note["event"] for note in notes] == ["shim.locked", "shim.started", "shim.refused", "shim.ended"]


def test_two_of_one_name_never_run_at_once(start: Start, tmp_path: Path) -> None:
    first = start()
    first.echo()
    second = start("--lock-timeout", "0.2")
    _, err = second.process.communicate(timeout=CHANGE)
    assert second.process.returncode == 75
    assert f"in use (by process {first.process.pid};" in err.decode()
    third = start("--lock-timeout", "30")
    first.end()
    assert third.echo() == {"a": 1}


def test_a_killed_holder_frees_the_lock_and_takes_all_with_it(start: Start) -> None:
    first = start()
    first.ask("initialize", {"protocolVersion": "2025-11-25", "capabilities": {}})
    daemon = int(
        json.loads(first.ask("tools/call", {"name": "daemon", "arguments": {}})["result"]["content"][0]["text"])
    )
    assert alive(daemon)
    os.kill(first.process.pid, signal.SIGKILL)
    second = start("--lock-timeout", "30")
    assert second.echo() == {"a": 1}
    # The lock is inherited by all that ran: it cannot have been free while the daemon lived.
    assert not alive(daemon)


def test_what_is_not_well_is_replaced(start: Start) -> None:
    shim = start("--health", "false", "--fallback", f"{sys.executable} {SERVER}", command=("/nonexistent",))
    assert shim.echo() == {"a": 1}
    code, notes = shim.end()
    assert code == 0
    assert [note["event"] for note in notes][1:3] == ["shim.unhealthy", "shim.fallback"]


def test_a_container_that_is_down_is_replaced(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A stand-in for the engine's command line; the real one is asked where there is one (docs/clients.md)."""
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    up = tmp_path / "up"
    engine.write_text(
        f'#!/bin/sh\nif [ "$1" = container ]; then test -e {up} && echo "true healthy"; exit 0; fi\n'
        f'[ "$1 $2 $3" = "exec --interactive tools" ] && shift 3 && echo in-container >&2 && exec "$@"\n'
    )
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", f"{engine.parent}:{os.environ['PATH']}")
    words = ("--container", "tools", "--fallback", f"{sys.executable} {SERVER}")
    down = start(*words)
    assert down.echo() == {"a": 1}
    assert "shim.fallback" in [note["event"] for note in down.end()[1]]
    up.touch()
    running = start(*words)
    assert running.echo() == {"a": 1}
    _, err = running.process.communicate(timeout=CHANGE)
    assert b"in-container" in err
    assert b"shim.healthy" in err


def test_nothing_well_and_nothing_to_fall_back_to_is_told(start: Start) -> None:
    shim = start("--health", "false")
    _, err = shim.process.communicate(timeout=CHANGE)
    assert shim.process.returncode == 69
    assert b"there is no --fallback" in err


def test_its_exit_code_is_the_servers(start: Start) -> None:
    shim = start(command=("sh", "-c", "exit 7"))
    assert shim.end()[0] == 7


def test_a_signal_ends_both(start: Start) -> None:
    shim = start(command=(sys.executable, "-c", "import sys,time; print(1, flush=True); time.sleep(600)"))
    assert shim.process.stdout
    shim.process.stdout.readline()
    shim.process.send_signal(signal.SIGTERM)
    until(lambda: shim.process.poll() is not None)


def test_a_message_too_large_is_answered_and_skipped(start: Start) -> None:
    shim = start()
    assert shim.process.stdin
    assert shim.process.stdout
    shim.process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * 9_000_000 + b'"}\n')
    shim.process.stdin.flush()
    assert json.loads(shim.process.stdout.readline())["error"]["code"] == 4413
    assert shim.echo() == {"a": 1}


@pytest.mark.parametrize("era", ["legacy", "modern"])
def test_it_asks_for_people(tmp_path: Path, era: str) -> None:
    def do(*words: str) -> dict[str, Any]:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "mantlet", "shim", "tool", "--lock-dir", str(tmp_path / "locks"), *words),
                *("--", sys.executable, SERVER, "--era", era),
            ],
            capture_output=True,
            timeout=CHANGE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    assert do("--do", "health")["healthy"] is True
    called = do("--do", "call", "--tool", "echo", "--arg", "a=1")
    assert json.loads(called["content"][0]["text"]) == {"a": 1}


def test_a_folder_of_another_is_not_trusted(tmp_path: Path) -> None:
    folder = tmp_path / "locks"
    folder.mkdir()
    folder.chmod(stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO)
    done = subprocess.run(
        [sys.executable, "-m", "mantlet", "shim", "tool", "--lock-dir", str(folder), "--", "true"],
        capture_output=True,
        timeout=CHANGE,
        check=False,
    )
    assert done.returncode == 1
    assert b"not yours alone" in done.stderr


def test_a_server_that_is_silent_is_given_up(tmp_path: Path) -> None:
    words = ("--do", "health", "--timeout", "0.3", "--lock-dir", str(tmp_path / "locks"))
    done = subprocess.run(
        [sys.executable, "-m", "mantlet", "shim", "tool", *words, "--", "sleep", "600"],
        capture_output=True,
        timeout=CHANGE,
        check=False,
    )
    assert done.returncode == 69
    assert b"no answer to initialize" in done.stderr
