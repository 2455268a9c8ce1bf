"""`mantlet database` as its users see it."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path

from tests.cli.test_cli import Run, run

from mantlet.stores.sql.schema import KNOWN

__all__ = ["run"]


def test_a_database_is_looked_at_and_brought_up(run: Run, tmp_path: Path) -> None:
    """AUD-02"""
    (tmp_path / "mantlet.yaml").write_text("environment: development\ndatabase: {auto_migrate: false}\n")
    told = run("database", "status", "--json")
    assert (told.code, json.loads(told.out)["missing"]) == (1, list(range(1, KNOWN + 1)))
    assert not (tmp_path / "var" / "mantlet.db").exists()
    refused = run("keys", "list")
    assert refused.code != 0
    assert "mantlet database migrate" in refused.err
    assert "done: tables, changes" in run("database", "migrate").out
    assert run("database", "migrate").out == "nothing to do\n"
    told = run("database", "status")
    assert told.code == 0
    assert f"version {KNOWN}, and this program works with {KNOWN}" in told.out
    assert run("keys", "list").code == 0
    trail = "".join(file.read_text() for file in (tmp_path / "var").rglob("audit-*.jsonl"))
    assert trail.count('"event":"database.migrated"') == 1
    with closing(sqlite3.connect(tmp_path / "var" / "mantlet.db")) as newer:
        newer.execute("INSERT INTO schema_steps VALUES (?, 'wonders', 1, '9.9')", (KNOWN + 1,))
        newer.commit()
    for command in ("status", "migrate"):
        refused = run("database", command)
        assert refused.code != 0
        assert "start the newer version" in refused.err


def test_a_server_that_is_not_there_is_told_without_its_password(run: Run, tmp_path: Path) -> None:
    url = "postgresql://u:hunter2@127.0.0.1:1/d"
    (tmp_path / "mantlet.yaml").write_text(f"environment: development\ndatabase: {{url: '{url}'}}\n")
    told = run("database", "status")
    assert told.code != 0
    assert "postgresql://u@127.0.0.1:1/d" in told.err
    assert "hunter2" not in told.out + told.err


def test_a_database_is_copied_into_an_empty_one_and_into_no_other(run: Run, tmp_path: Path) -> None:
    """AUD-02"""
    (tmp_path / "mantlet.yaml").write_text("environment: development\n")
    there = tmp_path / "there" / "mantlet.db"
    assert "no such file" in run("database", "copy", "--to", f"sqlite:///{there}").err
    assert run("keys", "create", "ci", "--role", "user").code == 0
    told = run("database", "copy", "--to", f"sqlite:///{there}", "--json")
    assert (told.code, json.loads(told.out)["rows"]["api_keys"]) == (0, 1)
    again = run("database", "copy", "--to", f"sqlite:///{there}")
    assert again.code != 0
    assert "not empty: 1 rows in api_keys" in again.err
    for url, said in [
        ("sqlite:///./var/mantlet.db", "is the database that is configured"),
        ("postgresql://u:hunter2@127.0.0.1:1/d", "postgresql://u@127.0.0.1:1/d"),
        ("mysql://u:hunter2@127.0.0.1:1/d", "not offered"),
    ]:
        refused = run("database", "copy", "--to", url)
        assert refused.code != 0
        assert said in refused.err
        assert "hunter2" not in refused.out + refused.err
    trail = "".join(file.read_text() for file in (tmp_path / "var").rglob("audit-*.jsonl"))
    assert '"event":"database.copied"' in trail
    assert "hunter2" not in trail
    (tmp_path / "mantlet.yaml").write_text(
        f"environment: development\ndatabase: {{url: 'sqlite:///{there}', folder: var}}\n"
    )
    assert "ci" in run("keys", "list").out
