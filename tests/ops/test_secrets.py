"""`mantlet secrets` and `mantlet keys rotate`, as an operator uses them."""

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from mantlet.cli.app import app
from mantlet.core.config_error import ConfigError
from mantlet.keys.files import read_secret
from mantlet.keys.signing import pem_kind, read_pem
from mantlet.node.config import load
from mantlet.ops.secrets import findings, generated, rotate, write

DAY_S = 86_400


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


def config(folder: Path, **auth: Any) -> str:
    file = folder / "mantlet.yaml"
    whole = {
        "environment": "development",
        "database": {"url": f"sqlite:///{folder / 'm.db'}"},
        "audit": {"path": str(folder / "audit")},
        "auth": auth,
    }
    file.write_text(yaml.safe_dump(whole))
    return str(file)


def test_a_made_secret_is_long_new_and_its_owners_alone(tmp_path: Path) -> None:
    """CFG-04"""
    file = tmp_path / "jwt.secret"
    assert run("secrets", "generate", str(file)).exit_code == 0
    assert file.stat().st_mode & 0o077 == 0
    assert len(read_secret(file).reveal()) == 64
    assert run("secrets", "generate", str(file)).exit_code != 0, "what is there is never overwritten"
    assert generated() != generated()
    write(tmp_path / "jwt.pem", "key")
    assert pem_kind(tmp_path / "jwt.pem") == "Ed25519"


def test_a_rotation_keeps_the_kind_and_the_old_one(tmp_path: Path) -> None:
    """CFG-04"""
    for name, kind in (("a.secret", "secret"), ("b.pem", "key")):
        file = tmp_path / name
        write(file, kind)  # type: ignore[arg-type]
        old = read_secret(file).reveal()
        kept = rotate(file)
        assert read_secret(kept).reveal() == old
        assert read_secret(file).reveal() != old
        assert kept.stat().st_mode & 0o077 == 0
    assert read_pem(tmp_path / "b.pem").algorithm == "EdDSA"


@pytest.mark.parametrize(("name", "text"), [("api-keys.pepper", "x" * 43), ("key", "mk_abc_def")])
def test_what_cannot_be_rotated_says_what_can(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    (tmp_path / name).chmod(0o600)
    with pytest.raises(ConfigError, match="rotate"):
        rotate(tmp_path / name)


def test_check_finds_the_weak_the_reused_the_open_and_the_old(tmp_path: Path) -> None:
    """CFG-04, TOK-12; and shows none of them."""
    good, twice = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    secret = tmp_path / "jwt.secret"
    secret.write_text(good)
    secret.chmod(0o640)
    past = time.time() - 100 * DAY_S
    os.utime(secret, (past, past))
    file = config(
        tmp_path,
        jwt={"secret_file": str(secret), "issuer": "i", "audience": "a"},
        api_keys=[
            {"name": "one", "key": twice},
            {"name": "two", "key": twice},
            {"name": "weak", "key": "changeme-changeme-changeme-changeme"},
        ],
    )
    answer = run("secrets", "check", "--json", "-c", file)
    assert answer.exit_code == 1
    told = json.loads(answer.stdout)
    problems = {one["where"]: one["problem"] for one in told["findings"]}
    assert "published or placeholder" in problems["auth.api_keys[2].key"]
    assert "same as auth.api_keys[0].key" in problems["auth.api_keys[1].key"]
    assert any("open to its group" in problem for problem in problems.values())
    assert problems[str(secret)].startswith("is 100 days old")
    for hidden in (good, twice, "changeme"):
        assert hidden not in answer.output


def test_check_is_content_with_good_secrets(tmp_path: Path) -> None:
    write(tmp_path / "jwt.secret", "secret")
    file = config(tmp_path, jwt={"secret_file": "./jwt.secret", "issuer": "i", "audience": "a"})
    answer = run("secrets", "check", "--json", "-c", file)
    assert answer.exit_code == 0, answer.output
    assert json.loads(answer.stdout)["ages"] == [{"where": str(tmp_path / "jwt.secret"), "days": 0}]
    later, _ = findings(load([file], {}), time.time() + 91 * DAY_S)
    assert [one.where for one in later] == [str(tmp_path / "jwt.secret")]


def test_an_api_key_is_rotated_with_overlap(tmp_path: Path) -> None:
    """CFG-04, AUTHN-05: the next has the same owner and rights, the old one ends."""
    file = config(tmp_path)
    made = json.loads(run("keys", "create", "ci", "--role", "user", "--scope", "mcp:read", "--json", "-c", file).stdout)
    told = json.loads(run("keys", "rotate", made["id"], "--overlap-hours", "1", "--json", "-c", file).stdout)
    assert told["key"] != made["key"]
    keys = {key["id"]: key for key in json.loads(run("keys", "list", "--json", "-c", file).stdout)["keys"]}
    assert [(key["owner"], key["roles"], key["scopes"]) for key in keys.values()] == [
        ("ci", ["user"], ["mcp:read"])
    ] * 2
    assert keys[made["id"]]["expires"] is not None
    assert keys[told["id"]]["expires"] is None
    assert run("keys", "rotate", "nothing", "-c", file).exit_code != 0
