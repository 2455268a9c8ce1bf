"""What the docs say is so: the reference is complete, examples are well formed, links lead somewhere, commands exist.

The guide and the clients' examples are also run, as they stand.
"""

import json
import os
import re
import runpy
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from mantlet.events.metrics import COUNTERS, HISTOGRAMS
from mantlet.node.config.load import load
from mantlet.node.config.reference import entries
from mantlet.wire.answer import WIRE

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), ROOT / "changes" / "README.md"])
REFERENCE = runpy.run_path(str(DOCS / "reference.py"))
RENEW = "renew it: make docs"


def blocks(page: Path, kind: str) -> list[str]:
    """The code of a page's fences of one kind; `sh` and `sh fails` are two."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def test_reference_is_current() -> None:
    assert (DOCS / "reference.md").read_text() == REFERENCE["reference"](), RENEW


def test_every_refusal_metric_command_and_key_is_in_the_reference() -> None:
    text = (DOCS / "reference.md").read_text()
    words = {kind.reason for kind in WIRE} | {f"{name}_total" for name in COUNTERS} | set(HISTOGRAMS)
    words |= set(REFERENCE["gauges"]())
    assert [word for word in sorted(words) if f"| `{word}` |" not in text] == [], RENEW
    assert "mantlet_audit_unable" in words
    assert "### `mantlet keys create`" in text
    keys = (DOCS / "configuration.md").read_text()
    assert [entry.key for entry in entries() if f"`{entry.key}`" not in keys] == [], RENEW


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text()
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}, (
                target
            )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    known = {
        " ".join(words) for words, _ in REFERENCE["_walk"](REFERENCE["typer"].main.get_command(REFERENCE["app"]), ())
    }
    groups = {name.split()[0] for name in known if " " in name}
    text = page.read_text()
    said = re.findall(r"`mantlet ([a-z]+)(?: ([a-z]+))?", text)
    said += [words for kind in ("sh", "sh fails", "console") for block in blocks(page, kind)
             for words in re.findall(r"^mantlet ([a-z]+)(?: ([a-z]+))?", block, re.MULTILINE)]  # fmt: skip
    for first, second in said:
        if first in groups:
            assert not second or f"{first} {second}" in known, f"mantlet {first} {second}"
        else:
            assert first in known, f"mantlet {first}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)) <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_are_well_formed(page: Path, tmp_path: Path) -> None:
    for text in blocks(page, "json"):
        json.loads(text)
    for text in blocks(page, "python"):
        compile(text, str(page), "exec")
    for number, text in enumerate(blocks(page, "yaml")):
        for file in re.findall(r"file: (\./[^\s,}]+)", text):
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")
            path.chmod(0o600)
        config = tmp_path / f"{number}.yaml"
        config.write_text(text)
        assert load([str(config)], {}).config
        assert yaml.safe_load(text)


def test_no_page_names_a_place_of_a_developers_machine() -> None:
    for page in PAGES:
        assert not re.search(r"/(home|work|tmp|root)/", page.read_text()), page


class Terminal:
    """A folder, an environment and two free ports; the pages' own ports are replaced by them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"8000": _free_port(), "9501": _free_port()}
        self.environ = {
            **{name: value for name, value in os.environ.items() if not name.startswith("MANTLET_")},
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "MANTLET_HTTP__PORT": self.ports["8000"],
            "MANTLET_ADMIN__PORT": self.ports["9501"],
        }
        self.node: subprocess.Popen[bytes] | None = None

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        for name, value in re.findall(r"^export (\w+)=(\S+)$", script, re.MULTILINE):
            self.environ[name] = value
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=self.folder, env=self.environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def serve(self) -> None:
        self.node = subprocess.Popen(["mantlet", "serve"], cwd=self.folder, env=self.environ, stderr=subprocess.DEVNULL)
        for _ in range(600):
            assert self.node.poll() is None
            if self.is_up() and "get_current_time" in self.run("mantlet tools").stdout:
                return
            time.sleep(0.1)  # another process: there is nothing to wait on
        raise AssertionError("the node did not come up")

    def is_up(self) -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{self.ports['9501']}/readyz") as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    terminal = Terminal(tmp_path)
    yield terminal
    if terminal.node is not None:
        terminal.node.send_signal(signal.SIGINT)
        assert terminal.node.wait(60) == 0


@pytest.mark.slow
def test_guide_and_clients_work_as_written(terminal: Terminal) -> None:
    steps = re.findall(r"^```(sh(?: fails)?)\n(.*?)^```$", (DOCS / "guide.md").read_text(), re.MULTILINE | re.DOTALL)
    said = ""
    for kind, script in steps[:-1]:
        if script.strip() == "mantlet serve":
            terminal.serve()
            continue
        done = terminal.run(script)
        assert (done.returncode == 0) == (kind == "sh"), f"{script}\n{done.stdout}{done.stderr}"
        said += done.stdout + done.stderr
    for expected in ("Europe/Berlin", "denied", "deny", "whole", "key.created"):
        assert expected in said
    clients(terminal)
    assert terminal.run(steps[-1][1]).returncode == 0


def clients(terminal: Terminal) -> None:
    terminal.environ["MANTLET_URL"] = f"http://127.0.0.1:{terminal.ports['8000']}/mcp"
    terminal.environ["MANTLET_TOKEN"] = (terminal.folder / "ci.key").read_text().strip()
    page = DOCS / "clients.md"
    for script in blocks(page, "sh"):
        done = terminal.run(script)
        assert "Europe/Berlin" in done.stdout, done.stderr
    for number, program in enumerate(blocks(page, "python")):
        (terminal.folder / f"client{number}.py").write_text(program)
        done = terminal.run(f"python client{number}.py")
        assert "Europe/Berlin" in done.stdout, done.stderr
