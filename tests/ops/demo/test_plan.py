"""What the demo prepares, without starting anything."""

import json
import shlex
import socket
import stat
from pathlib import Path

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.node.check.examine import examine
from mantlet.ops.demo import plan as plans
from mantlet.ops.demo.guide import client_json, curl, guide, python
from mantlet.ops.demo.plan import Plan, free_port, prepare, require_packages


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return prepare(tmp_path, "http://127.0.0.1:4/mcp", 5, 6)


def test_configuration_would_start(plan: Plan) -> None:
    report = examine([str(plan.config)], {})
    assert report.exit_code == 0
    assert report.loaded is not None
    assert [server.name for server in report.loaded.config.mcp.servers] == ["time", "notes"]
    assert report.inert == []


def test_keys_are_fresh_and_their_owners_alone(plan: Plan, tmp_path: Path) -> None:
    other = prepare(tmp_path / "other", "http://127.0.0.1:4/mcp", 5, 6)
    assert len({plan.admin_key, plan.visitor_key, other.admin_key, other.visitor_key}) == 4
    files = sorted((tmp_path / "secrets").iterdir())
    assert [stat.S_IMODE(file.stat().st_mode) for file in files] == [0o600, 0o600]
    assert files[0].read_text().strip() == plan.admin_key
    assert plan.admin_key not in plan.config.read_text()
    assert plan.admin_key not in repr(plan)


def test_taken_port_is_told_and_replaced_by_a_free_one() -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        wanted = taken.getsockname()[1]
        port = free_port(wanted, said.append)
    assert port not in (0, wanted)
    assert said == [f"port {wanted} is taken, so this is port {port}"]


def test_free_port_is_taken_as_wanted_and_in_silence() -> None:
    said: list[str] = []
    wanted = free_port(0, said.append)
    assert free_port(wanted, said.append) == wanted
    assert free_port(wanted, said.append, taken=wanted) != wanted
    assert len(said) == 1


@pytest.mark.parametrize(("package", "major"), [("mantlet-has-no-such-package", 0), ("pytest", 1_000)])
def test_missing_or_old_package_names_the_extra(monkeypatch: pytest.MonkeyPatch, package: str, major: int) -> None:
    monkeypatch.setattr(plans, "PACKAGES", {package: major})
    with pytest.raises(ConfigError, match=r"pip install 'mantlet\[demo\]'"):
        require_packages()


def test_guide_can_be_copied(plan: Plan) -> None:
    text = guide(plan)
    assert plan.visitor_key in text
    for part in (curl(plan), python(plan), client_json(plan)):
        assert all(line.strip() in text for line in part.splitlines())
    words = shlex.split(curl(plan).replace("\\\n", ""))
    assert json.loads(words[words.index("-d") + 1])["method"] == "tools/call"
    compile(python(plan), "guide", "exec")
    assert f"\n{python(plan)}\n" in text, "an indented copy is no program"
    server = json.loads(client_json(plan))["mcpServers"]["mantlet"]
    assert server == {"type": "http", "url": plan.url, "headers": {"Authorization": f"Bearer {plan.admin_key}"}}
