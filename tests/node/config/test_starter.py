"""What `mantlet init` writes."""

import json
import stat
from pathlib import Path

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.core.weak_secret import why_weak
from mantlet.node.check.examine import WOULD_START, examine
from mantlet.node.config.model import ENVIRONMENTS, Environment
from mantlet.node.config.starter import imported, new_api_key, starter, write


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_what_is_written_would_start(tmp_path: Path, environment: Environment) -> None:
    write(starter(tmp_path, environment))
    report = examine([str(tmp_path / "mantlet.yaml")], {})
    assert [str(reason) for reason in report.judgement.refused] == []
    assert report.problems == ()
    assert report.exit_code == WOULD_START
    assert report.loaded is not None
    assert report.loaded.config.environment == environment
    assert report.inert == []


def test_secrets_are_fresh_and_the_owners_alone(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write(starter(tmp_path / name, "production"))
    one, two = ((tmp_path / name / "secrets" / "admin.key").read_text().strip() for name in ("one", "two"))
    assert one != two
    assert why_weak(one) == ""
    assert stat.S_IMODE((tmp_path / "one" / "secrets" / "admin.key").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "one" / "secrets").stat().st_mode) == 0o700
    assert one not in (tmp_path / "one" / "mantlet.yaml").read_text()


def test_nothing_is_overwritten_unless_asked_and_secrets_never(tmp_path: Path) -> None:
    write(starter(tmp_path, "development"))
    key = (tmp_path / "secrets" / "admin.key").read_text()
    (tmp_path / "mantlet.yaml").write_text("# mine")
    with pytest.raises(ConfigError, match="is there already"):
        write(starter(tmp_path, "development"))
    assert (tmp_path / "mantlet.yaml").read_text() == "# mine"
    assert write(starter(tmp_path, "development"), force=True) == [tmp_path / "mantlet.yaml"]
    assert (tmp_path / "secrets" / "admin.key").read_text() == key


def test_the_servers_of_a_client_are_taken_over(tmp_path: Path) -> None:
    source = tmp_path / "mcp.json"
    servers = {
        "my time": {"command": "python", "args": ["-m", "time: #1"], "env": {"A": "${NOT_OURS}"}},
        "docs": {"url": "https://d.example/mcp", "headers": {"X-Key": "k"}},
    }
    source.write_text(json.dumps({"mcpServers": servers}))
    write(starter(tmp_path, "development", imported(source)))
    report = examine([str(tmp_path / "mantlet.yaml")], {})
    assert report.problems == ()
    assert report.loaded is not None
    time, docs = report.loaded.config.mcp.servers
    assert (time.name, time.command, time.env) == ("my-time", ["python", "-m", "time: #1"], {"A": "${NOT_OURS}"})  # type: ignore[union-attr]
    assert docs.url == "https://d.example/mcp"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "words"), [("{", "is not JSON"), ("[]", "no mcpServers"), ('{"a": 1}', "no mcpServers")]
)
def test_a_file_without_servers_is_told(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "mcp.json").write_text(text)
    with pytest.raises(ConfigError, match=words):
        imported(tmp_path / "mcp.json")
    with pytest.raises(ConfigError, match="cannot be read"):
        imported(tmp_path / "none.json")


def test_keys_have_the_shape_of_keys() -> None:
    from mantlet.core.api_key import id_of

    assert id_of(new_api_key().encode()) is not None
