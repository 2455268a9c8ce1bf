"""What commands say on a terminal and of what they refuse: words and exit codes a person can act on."""

import sys
from pathlib import Path

import pytest
from tests.cli.test_cli import Run, run

from mantlet.cli.failures import exit_code_of, told
from mantlet.cli.output import counted, table
from mantlet.ops.remote.http import Answer, Refused, accepted

__all__ = ["run"]


def refusal(status: int, body: bytes, **headers: str) -> Refused:
    with pytest.raises(Refused) as caught:
        accepted(Answer(status, headers, body))
    return caught.value


def test_an_id_in_a_table_is_never_broken_in_two(monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "20")
    table(("id", "who", "why"), [("hGTW9IZUKz6k", "x" * 60, "long"), ("b", "你", "short")])
    head, first, second = capsys.readouterr().out.splitlines()
    assert head.startswith("\033[1mid            who")
    assert first == f"hGTW9IZUKz6k  {'x' * 60}  long"
    assert second == f"b             你{' ' * 46}  short"


@pytest.mark.parametrize(("number", "words"), [(0, "0 records"), (1, "1 record"), (2, "2 records")])
def test_what_is_counted_is_counted_as_people_do(number: int, words: str) -> None:
    assert counted(number, "record") == words


@pytest.mark.parametrize(
    ("status", "reason", "code"),
    [
        (401, "invalid_credential", 4), (403, "denied", 4), (403, "insufficient_scope", 4), (403, "killed", 1),
        (403, "quarantined", 1), (403, "approval_pending", 1), (429, "rate_limited", 1),
    ],
)  # fmt: skip
def test_another_identity_is_asked_for_where_it_would_help(status: int, reason: str, code: int) -> None:
    assert exit_code_of(refusal(status, b'{"reason":"%s"}' % reason.encode())) == code


def test_a_refusal_says_what_to_do() -> None:
    """AUTHZ-09"""
    assert told(refusal(429, b"{}", **{"retry-after": "7"})).splitlines()[1] == "mantlet: try again in 7 s"
    waits = b'{"error":{"message":"waits","data":{"reason":"approval_pending","approval":"Ab1"}}}'
    assert "`mantlet approvals show Ab1`" in told(refusal(403, waits, **{"retry-after": "10"}))
    assert "--token-file" in told(refusal(401, b'{"reason":"unauthenticated"}'))
    assert "--token-file" not in told(refusal(401, b'{"reason":"invalid_credential"}')), "one was given"


@pytest.mark.parametrize("when", ["yesterday", "1 hour", "2026-11-21 10:00", "10:00", "h"])
def test_a_time_that_is_none_is_not_answered_with_no_records(run: Run, when: str) -> None:
    for option in ("--since", "--until"):
        ran = run("events", "search", option, when)
        assert (ran.code, option in ran.err) == (2, True)


@pytest.mark.parametrize("when", ["2h", "15m", "2026", "2026-11-21", "2026-11-21T10", "2026-11-21T10:00:00Z"])
def test_times_are_instants_their_beginnings_or_how_long_ago(run: Run, when: str) -> None:
    assert run("events", "search", "--path", ".", "--since", when) == (0, "no records\n", "")


def test_what_is_not_there_is_not_passed_as_fine(run: Run) -> None:
    """In CI, from the wrong folder, nothing must look like all is well."""
    assert run("events", "search", "--path", "nowhere").code == 2
    assert run("events", "tail", "--path", "nowhere", "--no-follow").code == 2
    assert run("pins", "check").code == 2


def test_a_verdict_that_is_none_is_refused(run: Run) -> None:
    assert run("events", "tail", "--verdict", "denied", "--path", ".").code == 2


EXPLAIN = ("explain", "--as", "ann", "tools/call", "x")


@pytest.mark.parametrize(
    ("option", "value"), [("--kind", "dog"), ("--address", "300.1.1.1"), ("--at", "noon"), ("--at", "2026-11-21")]
)
def test_a_question_that_cannot_be_meant_is_refused_by_its_options_name(run: Run, option: str, value: str) -> None:
    run("init")
    ran = run(*EXPLAIN, option, value)
    assert (ran.code, option in ran.err, value in ran.err) == (2, True, True)


def test_a_rule_for_servers_says_that_none_was_named(run: Run, tmp_path: Path) -> None:
    rules = "authorization: {rules: [{name: r, allow: {servers: [docs], tools: [x]}}]}"
    (tmp_path / "mantlet.yaml").write_text(f"environment: development\n{rules}\n")
    assert "none is named" in run(*EXPLAIN).out


def test_a_new_key_can_go_into_a_file_of_its_owners(run: Run, tmp_path: Path) -> None:
    """AUTHN-09"""
    run("init")
    ran = run("keys", "create", "ci", "--role", "user", "--out", "ci.key")
    assert (ran.code, "mk_" in ran.out) == (0, False)
    file = tmp_path / "ci.key"
    assert (file.read_text().startswith("mk_"), file.stat().st_mode & 0o777) == (True, 0o600)
    for place in ("ci.key", "none/ci.key"):
        assert run("keys", "create", "other", "--out", place).code == 2
    assert "other" not in run("keys", "list").out, "a key that could not be written would be lost, and live"


def test_nothing_configured_is_said(run: Run) -> None:
    assert "no configuration file here" in run("check", "--quiet").out
    run("init")
    assert run("check", "--quiet").out == ""


def test_what_init_wrote_is_nothing_to_warn_about(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mcp.json").write_text('{"mcpServers": {"time": {"command": "python"}}}')
    for environment in ("development", "production"):
        run("init", environment, "--environment", environment, "--from", "mcp.json")
        ran = run("check", "-c", f"{environment}/mantlet.yaml", "--quiet")
        assert [line for line in ran.out.splitlines() if "lock file" not in line] == []
    assert (tmp_path / "development" / "secrets" / ".gitignore").read_text() == "*\n"


def test_keys_of_the_nodes_own_that_others_may_read_are_found_by_check(run: Run, tmp_path: Path) -> None:
    """`serve` would refuse them."""
    run("init")
    run("keys", "create", "a")
    key = tmp_path / "var" / "keys" / "audit-chain.key"
    key.chmod(0o644)
    ran = run("check", "--quiet")
    assert (ran.code, "audit-chain.key is open to others" in ran.out) == (2, True)


def test_an_address_without_a_scheme_is_mended(run: Run) -> None:
    assert "http://127.0.0.1:9501" in run("health", "--url", "127.0.0.1:9501").err


def test_the_version_has_an_option_too(run: Run) -> None:
    assert run("--version") == run("version")
