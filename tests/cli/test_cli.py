"""The commands as their users see them: output, exit code, no traceback."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from mantlet.cli import main


class Ran(NamedTuple):
    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a command in an empty folder, with no variable of the tester's own."""
    monkeypatch.chdir(tmp_path)
    for name in ("ENVIRONMENT", "JWT_SECRET", "VALKEY_URL", "CORS_ALLOWED_ORIGINS", "BEARER_TOKEN_VALIDATION"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: object) -> Ran:
        with pytest.raises(SystemExit) as caught:
            main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Ran(int(caught.value.code or 0), said.out, said.err)

    return run


GROUPS = {
    (): ["init", "check", "serve", "demo", "health", "connections", "upstreams", "tools", "call", "version"],
    ("keys",): ["create", "list", "revoke"],
    ("certs",): ["ca", "server", "client"],
    ("tokens",): ["issue", "inspect", "keygen"],
    ("database",): ["status", "migrate", "copy"],
    ("events",): ["tail", "search", "verify"],
    ("limits",): ["status", "reset", "show"],
}
COMMANDS = [(*group, name) for group, names in GROUPS.items() for name in names]
COMMANDS += [("restart",), ("leave",), ("stay",)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_itself_with_examples(run: Run, command: tuple[str, ...]) -> None:
    code, out, _ = run(*command, "--help")
    assert code == 0
    assert "Examples:" in out
    assert f"mantlet {' '.join(command)}" in " ".join(out.split())


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in {("serve",), ("demo",)}], ids=" ".join)
def test_every_command_that_prints_has_json(run: Run, command: tuple[str, ...]) -> None:
    assert "--json" in run(*command, "--help").out


def test_the_list_of_commands_is_whole(run: Run) -> None:
    out = run("--help").out
    for name in [*GROUPS[()], "keys", "tokens", "events", "limits"]:
        assert f" {name} " in out
    assert "Exit codes" in out


def test_init_then_check_passes(run: Run, tmp_path: Path) -> None:
    assert run("init").code == 0
    code, out, _ = run("check")
    assert code == 0
    assert "would start in development" in out
    assert "http.port\t8000\tmantlet.yaml:" in out
    key = (tmp_path / "secrets" / "admin.key").read_text().strip()
    assert key not in out
    told = json.loads(run("check", "--json").out)
    assert (told["result"], told["exit_code"], told["environment"]) == ("would_start", 0, "development")
    assert run("init").code == 2


def test_init_for_production_then_check_passes(run: Run) -> None:
    assert run("init", "--environment", "production", "gate").code == 0
    assert run("check", "-c", "gate/mantlet.yaml", "--quiet") == (0, "", "")


def test_init_knows_its_environments(run: Run) -> None:
    code, _, err = run("init", "-e", "prod")
    assert code == 2
    assert "production" in err


WRONG = [
    ("htp: {}", 2, 'wrong.yaml:1: htp: unknown key; did you mean "http"?'),
    ("http: {port: x}", 2, "wrong.yaml:1: http.port: wrong value; found 'x'"),
    ("auth: {jwt: {secret_file: none}}", 2, "cannot be read: No such file or directory"),
    ("a: 1\na: 2", 2, "wrong.yaml:2: a: stands twice"),
    ("auth: {jwt: {secret: changeme, issuer: i, audience: a}}", 1, "auth.jwt.secret"),
    ("mcp: {servers: [{name: a, url: 'http://h/mcp'}]}", 1, "mcp.servers.a.url: http://h is not encrypted"),
]


@pytest.mark.parametrize(("text", "code", "words"), WRONG)
@pytest.mark.parametrize("command", ["check", "serve"])
def test_a_wrong_configuration_ends_before_anything_begins(run: Run, tmp_path, command, text, code, words) -> None:
    """CFG-01, CFG-02"""
    (tmp_path / "wrong.yaml").write_text(text)
    ran = run(command, "-c", "wrong.yaml")
    assert ran.code == code
    assert words in ran.out + ran.err
    if command == "check":
        told = json.loads(run("check", "-c", "wrong.yaml", "--json").out)
        assert told["exit_code"] == code
        assert told["problems"] or told["refused"]


def test_a_wrong_configuration_opens_no_port(tmp_path: Path) -> None:
    """CFG-01: in a process of its own, in which binding a socket would be an error."""
    (tmp_path / "wrong.yaml").write_text("debug: true")
    program = (
        "import socket, sys\n"
        "def bind(*_): raise SystemExit('a port was opened')\n"
        "socket.socket.bind = bind\n"
        "from mantlet.cli import main\n"
        "main(['serve', '-c', 'wrong.yaml'])\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=30)  # noqa: PLW1510
    assert ran.returncode == 1
    assert "refused: debug" in ran.stderr
    assert "port was opened" not in ran.stderr


def test_files_can_be_named_by_a_variable(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a b.yaml").write_text("agent: {name: one}\nhttp: {port: 1}")
    (tmp_path / "c.yaml").write_text("agent: {name: two}")
    monkeypatch.setenv("MANTLET_CONFIG", f"{tmp_path}/a b.yaml:{tmp_path}/c.yaml")
    told = {line["key"]: line["value"] for line in json.loads(run("check", "--json").out)["config"]}
    assert (told["agent.name"], told["http.port"]) == ("two", 1)


def test_options_set_keys(run: Run) -> None:
    assert json.loads(run("limits", "show", "--set", "limits.client.requests=7", "--json").out)["client.requests"] == 7
    assert run("check", "--set", "http.port").code == 2
    assert 'did you mean "http.port"?' in run("check", "--set", "http.prot=1").out


def test_keys_are_made_shown_once_listed_and_revoked(run: Run) -> None:
    run("init")
    made = json.loads(run("keys", "create", "ci", "--role", "user", "--scope", "mcp:read", "--json").out)
    assert made["key"].startswith("mk_")
    code, out, _ = run("keys", "list")
    assert code == 0
    assert f"{made['id']}\tci" in out
    assert made["key"] not in out
    assert "hash" not in run("keys", "list", "--json").out
    assert run("keys", "revoke", made["id"]).code == 0
    assert json.loads(run("keys", "list", "--json").out)["keys"][0]["state"] == "revoked"
    assert run("keys", "revoke", "nobody").code == 2
    assert run("keys", "create", "x", "--kind", "robot").code == 2


def test_making_and_ending_a_key_is_recorded_and_not_done_when_that_fails(run: Run, tmp_path: Path) -> None:
    """AUD-02"""
    key_id = json.loads(run("keys", "create", "ci", "--role", "user", "--json").out)["id"]
    run("keys", "revoke", key_id)
    lines = run("events", "search", "--text", key_id, "--json").out.splitlines()
    records = [json.loads(line) for line in lines]
    assert [(record["event"], record["object"]) for record in records] == [
        ("key.created", key_id),
        ("key.revoked", key_id),
    ]
    assert records[0]["principal"].startswith("local/os-user/")
    assert records[0]["notes"] == {"name": "ci", "owner": "ci", "roles": "user"}
    assert run("events", "verify").code == 0
    (tmp_path / "file").write_text("")
    (tmp_path / "mantlet.yaml").write_text("audit: {path: ./file/audit}")
    assert "cannot be recorded" in run("keys", "create", "other").err
    (tmp_path / "mantlet.yaml").unlink()
    assert [key["name"] for key in json.loads(run("keys", "list", "--json").out)["keys"]] == ["ci"]


def test_tokens_are_issued_and_inspected(run: Run, tmp_path: Path) -> None:
    run("init")
    assert run("tokens", "keygen", "secrets/jwt.pem").code == 0
    assert run("tokens", "keygen", "secrets/jwt.pem").code == 2
    (tmp_path / "more.yaml").write_text("agent: {url: 'https://a.example'}\nauth: {jwt: {key_file: secrets/jwt.pem}}")
    files = ("-c", "mantlet.yaml", "-c", "more.yaml")
    token = run("tokens", "issue", "alice", "--role", "user", "--minutes", "5", *files).out.strip()
    (tmp_path / "token").write_text(token)
    told = json.loads(run("tokens", "inspect", "token", "--json", *files).out)
    assert (told["signature"], told["claims"]["sub"], told["claims"]["aud"]) == (
        "valid",
        "alice",
        "https://a.example/mcp",
    )
    head, _, tail = token.rpartition(".")
    (tmp_path / "token").write_text(f"{head}.{tail[:-4]}AAAA")
    assert run("tokens", "inspect", "token", *files).code == 1
    assert run("tokens", "issue", "alice").code == 2
    assert token not in run("tokens", "inspect", token).err


def test_no_node_is_told_with_an_exit_code_of_its_own(run: Run) -> None:
    for command in [("health",), ("connections",), ("tools",), ("call", "x", "a=1"), ("limits", "status", "c")]:
        ran = run(*command, "--url", "http://127.0.0.1:9")
        assert ran.code == 3, command
        assert "no answer from http://127.0.0.1:9" in ran.err


def test_a_token_on_the_command_line_is_warned_about(run: Run) -> None:
    assert "seen by all users" in run("health", "--url", "http://127.0.0.1:9", "--token", "t").err
    assert "in clear" in run("health", "--url", "http://host.invalid:9", "--token", "t").err


def test_arguments_of_a_call_are_checked_first(run: Run) -> None:
    assert "KEY=VALUE" in run("call", "t", "novalue").err
    assert "is not JSON" in run("call", "t", "--args", "{").err
    assert "must be a JSON object" in run("call", "t", "--args", "[1]").err
    assert run("call", "t", "--era", "stone").code == 2


def test_an_absent_trail_cannot_be_verified(run: Run) -> None:
    run("init")
    assert run("events", "verify").code == 2
    assert run("events", "search").out == "no records\n"
    assert run("events", "search", "--json").out == ""


def test_version_is_told(run: Run) -> None:
    assert set(json.loads(run("version", "--json").out)) == {"mantlet", "python"}


def test_help_and_check_load_nothing_that_serves() -> None:
    """Start-up is what is imported: neither servers nor drawing, unless they are used."""
    program = (
        "import sys\nfrom mantlet.cli import main\n"
        "try: main(['version', '--json'])\nexcept SystemExit: pass\n"
        "print([m for m in ('asyncio', 'starlette', 'cryptography', 'uvloop', 'yaml', 'msgspec') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


ODD_KEYS = [
    ("evil\x1b[31m",), ("a/b",), (" a",), ("",), ("x" * 201,), ("a", "--owner", "a\nb"), ("a", "--tenant", "a/b"),
    ("a", "--tenant", ""), ("a", "--role", ""), ("a", "--role", "a b"), ("a", "--scope", "a\tb"),
]  # fmt: skip


@pytest.mark.parametrize("arguments", ODD_KEYS, ids=repr)
def test_a_key_for_an_odd_name_is_not_made(run: Run, arguments: tuple[str, ...]) -> None:
    """AUTHN-09: what cannot be told apart in a record is no principal."""
    assert run("init").code == 0
    code, out, err = run("keys", "create", *arguments)
    assert (code, out) == (2, "")
    assert "\x1b" not in err
    assert json.loads(run("keys", "list", "--json").out) == {"keys": []}


def test_a_second_key_of_a_principal_is_made_with_a_warning(run: Run) -> None:
    assert run("init").code == 0
    assert run("keys", "create", "ci").err == ""
    assert run("keys", "create", "ci", "--tenant", "other").err == ""
    second = run("keys", "create", "x", "--owner", "ci")
    assert second.code == 0
    assert "warning: ci of tenant default is already the principal of the key" in second.err
    assert "the bootstrap key auth.api_keys[0]" in run("keys", "create", "admin").err


def test_upstreams_shows_what_a_terminal_has_room_for(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    local = {
        "worker": 0,
        "name": "a",
        "transport": "stdio",
        "state": "unhealthy",
        "reason": "ended",
        "eras": ["x", "y"],
    }
    remote = {"worker": 1, "name": "b", "transport": "http", "state": "unhealthy", "reasons": ["gone"], "versions": []}
    monkeypatch.setattr("mantlet.ops.remote.Admin.upstreams", lambda self: [local | {"pid": 7}, remote])
    assert run("upstreams").out == "0\ta\tstdio\tunhealthy\tx y\tended\n1\tb\thttp\tunhealthy\t\tgone\n"
    assert json.loads(run("upstreams", "--json").out)["upstreams"] == [local | {"pid": 7}, remote]


def test_upstreams_shows_endpoints_below_their_server(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = {"name": "e1:80", "state": "draining", "reasons": ["drained by an operator"], "in_flight": 2}
    server = {"worker": 0, "name": "docs", "transport": "http", "state": "degraded", "endpoints": [endpoint]}
    monkeypatch.setattr("mantlet.ops.remote.Admin.upstreams", lambda self: [server])
    assert run("upstreams").out.splitlines() == [
        "0\tdocs\thttp\tdegraded\t\t",
        "0\tdocs/e1:80\t\tdraining\t\tdrained by an operator",
    ]


def test_an_endpoint_is_drained_and_taken_back(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, ...]] = []

    def change(self: object, verb: str, path: str) -> dict[str, bool]:
        sent.append((verb, path))
        return {"was_drained": True}

    monkeypatch.setattr("mantlet.ops.remote.Admin._change", change)
    assert "takes no new calls; stopped in 60 s" in run("drain", "docs", "[::1]:80", "--for", "60").out
    assert "takes calls again" in run("undrain", "docs", "[::1]:80").out
    assert sent == [
        ("POST", "endpoints?server=docs&endpoint=%5B%3A%3A1%5D%3A80&for=60"),
        ("DELETE", "endpoints?server=docs&endpoint=%5B%3A%3A1%5D%3A80"),
    ]


@pytest.mark.parametrize("leads_somewhere", [True, False])
def test_migrate_writes_through_no_link(run: Run, tmp_path: Path, leads_somewhere: bool) -> None:
    """CFG-03: somebody who may put a link into the folder chooses no file of the operator's to write."""
    (tmp_path / "mantlet.yaml").write_text("environment: development\ndebug: true\n")
    elsewhere, overlay = tmp_path / "elsewhere", tmp_path / "mantlet.production.yaml"
    if leads_somewhere:
        elsewhere.write_text("theirs")
    overlay.symlink_to(elsewhere)
    refused = run("migrate", "--to", "production")
    assert (refused.code, "--force" in refused.err) == (2, True)
    run("migrate", "--to", "production", "--force")
    assert not overlay.is_symlink()
    assert "debug: false" in overlay.read_text()
    assert (elsewhere.read_text() if leads_somewhere else elsewhere.exists()) == (
        "theirs" if leads_somewhere else False
    )
    assert run("migrate", "--to", "production", "-o", tmp_path / "no" / "folder.yaml").code == 2
