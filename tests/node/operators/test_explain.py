"""What is explained, from the file and by the running node, is what happens."""

import asyncio
import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.attacks.house import House, open_house
from typer.testing import CliRunner

from mantlet.cli.app import app
from mantlet.node.config import load
from mantlet.node.operators.explain import answer, question_of

RULES = [
    {"name": "night", "deny": {"when": "time.hour < 6"}},
    {"name": "no-exec", "deny": {"tools": ["exec"]}},
    {"name": "big", "deny": {"tools": ["echo"], "when": "has(args.size) && args.size > 9"}},
    {"name": "users", "allow": {"roles": ["user"], "servers": ["one"]}},
]
SECTION = {"rules": RULES, "approvals": {"tools": ["hold"]}}
NOON = "2026-11-21T12:00:00Z"


async def asked(house: House, question: dict[str, Any], *, who: str = "root") -> Any:
    headers = {"Authorization": f"Bearer {house.keys[who]}", "Content-Type": "application/json"}
    body = json.dumps({"at": NOON, **question}).encode()
    return await house.ask("POST", "/admin/v1/explain", headers, body, door="admin")


def echo(**more: Any) -> dict[str, Any]:
    return {"caller": "alice", "method": "tools/call", "target": "echo", **more}


async def test_the_running_node_says_what_it_does_and_why(tmp_path: Path) -> None:
    async with open_house(tmp_path, authorization=SECTION) as house:
        for question, allowed, rule in [
            (echo(), True, "users"),
            (echo(target="one__echo"), True, "users"),
            (echo(args={"size": 10}), False, "big"),
            (echo(args={"size": "x"}), False, "big"),
            (echo(target="exec"), False, "no-exec"),
            (echo(server="two"), False, "default"),
            (echo(caller="norules"), False, "default"),
            (echo(caller="nobody"), False, "default"),
            (echo(caller="nobody", roles=["user"]), True, "users"),
            (echo(at="2026-11-21T05:59:00Z"), False, "night"),
            (echo(act=["a", "b", "c", "d", "e"]), False, "delegation"),
        ]:
            told = (await asked(house, question)).json
            assert (told["allowed"], told["rule"]) == (allowed, rule), question
        told = (await asked(house, echo(target="hold"))).json
        assert told["needs_approval"]
        assert [(step["rule"], step["outcome"]) for step in told["steps"]] == [
            ("night", "does not match"), ("no-exec", "does not match"), ("big", "does not match"), ("users", "decides"),
        ]  # fmt: skip
        bearer = {"Authorization": f"Bearer {house.keys['root']}"}
        await house.ask("POST", "/admin/v1/kills?kind=tool&name=echo", bearer, door="admin")
        assert (await asked(house, echo())).json["rule"] == "kill tool"


async def made(house: House, name: str, **more: Any) -> str:
    headers = {"Authorization": f"Bearer {house.keys['root']}", "Content-Type": "application/json"}
    body = json.dumps({"name": name, **more}).encode()
    return str((await house.ask("POST", "/admin/v1/keys", headers, body, door="admin")).json["id"])


async def test_keys_of_the_database_are_known_by_id_name_and_owner(tmp_path: Path) -> None:
    async with open_house(tmp_path, authorization=SECTION) as house:
        laptop = await made(house, "laptop", owner="ann", roles=["user"], kind="user")
        for name, key, allowed in [
            (laptop, laptop, True),
            (f"mk_{laptop}", laptop, True),
            ("laptop", laptop, True),
            ("ann", laptop, True),
            ("nobody", "", False),
        ]:
            told = (await asked(house, echo(caller=name))).json
            assert (told["key"], told["allowed"]) == (key, allowed), name
        assert (await asked(house, echo(caller="laptop"))).json["caller"].endswith("/ann")
        assert not (await asked(house, echo(caller="ann", roles=["guest"]))).json["allowed"], "as it was said"
        assert not (await asked(house, echo(caller="ann", tenant="other"))).json["allowed"]
        phone = await made(house, "phone", owner="ann", roles=["guest"], kind="user")
        two = await asked(house, echo(caller="ann"))
        assert two.status == 400
        assert laptop in two.json["detail"]
        assert phone in two.json["detail"]
        assert (await asked(house, echo(caller="alice"))).json["key"] == "", "the configuration's stand first"
    offline = ["tools/call", "echo", "--at", NOON, "-c", str(tmp_path / "mantlet.yaml")]

    def run(*words: str) -> Any:
        return asyncio.to_thread(CliRunner().invoke, app, words)

    told = await run("explain", "--as", laptop, *offline)
    assert told.exit_code == 0, told.output
    assert f"the API key {laptop}" in told.output
    assert (await run("explain", "--as", "ann", *offline)).exit_code == 2
    await run("keys", "revoke", laptop, "-c", str(tmp_path / "mantlet.yaml"))
    assert (await run("explain", "--as", laptop, *offline)).exit_code == 1, "a revoked key gives nothing"


def test_without_a_database_none_is_made(tmp_path: Path) -> None:
    file = tmp_path / "mantlet.yaml"
    file.write_text(f"environment: development\ndatabase: {{url: 'sqlite:///{tmp_path}/mantlet.db'}}\n")
    found = CliRunner().invoke(app, ["explain", "--as", "ann", "tools/call", "echo", "-c", str(file)])
    assert found.exit_code == 1, found.output
    assert [each.name for each in tmp_path.iterdir()] == ["mantlet.yaml"]


async def test_who_may_ask_and_what_is_no_question(tmp_path: Path) -> None:
    """AUTHZ-05"""
    async with open_house(tmp_path) as house:
        assert (await asked(house, echo(), who="alice")).status == 403
        for question in [{"caller": 5}, echo(colour="red"), {"caller": "x"}, echo(kind="root")]:
            assert (await asked(house, question)).status == 400
        assert house.one.sent == []


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--as", "alice", "tools/call", "echo", "--at", NOON], 0, "allowed by users"),
        (["--as", "alice", "tools/call", "exec", "--at", NOON], 1, "denied by no-exec"),
        (["--as", "x", "--role", "user", "tools/call", "one__echo", "--at", NOON], 0, "allowed by users"),
        (["--as", "alice", "tools/call", "hold", "--at", NOON], 0, "and needs a human's approval"),
        (["--as", "alice", "tools/call", "echo", "--args", '{"size": 10}', "--at", NOON], 1, "denied by big"),
        (["--as", "alice", "tools/call", "echo", "--args", "[]"], 2, ""),
        (["--as", "alice", "tools/call", "echo", "--kind", "root"], 2, ""),
    ],
)
async def test_the_command_says_it_from_the_file_alone(
    tmp_path: Path, options: list[str], code: int, said: str
) -> None:
    async with open_house(tmp_path, authorization=SECTION):
        pass
    found = CliRunner().invoke(app, ["explain", *options, "-c", str(tmp_path / "mantlet.yaml")])
    assert found.exit_code == code, found.output
    assert said in found.output


def _documented() -> list[tuple[str, str]]:
    page = (Path(__file__).parents[3] / "docs" / "authorization.md").read_text()
    return re.findall(r"^\$ (mantlet explain .*)\n(.*)$", page, re.MULTILINE)


@pytest.mark.parametrize(("command", "said"), _documented(), ids=lambda text: text[:60])
def test_what_the_page_says_is_explained_so(tmp_path: Path, command: str, said: str) -> None:
    page = (Path(__file__).parents[3] / "docs" / "authorization.md").read_text()
    (tmp_path / "mantlet.yaml").write_text(re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0])
    for name in ("ann", "ops"):
        assert (
            CliRunner().invoke(app, ["secrets", "generate", str(tmp_path / "secrets" / f"{name}.key")]).exit_code == 0
        )
    assert CliRunner().invoke(app, ["check", "--quiet", "-c", str(tmp_path / "mantlet.yaml")]).exit_code == 0
    found = CliRunner().invoke(app, [*shlex.split(command)[1:], "-c", str(tmp_path / "mantlet.yaml")])
    assert found.output.splitlines()[-1] == said


def named(folder: Path, names: list[str], target: str, server: str = "") -> str:
    servers = [f"{{name: {name}, transport: http, url: 'http://127.0.0.1:7100/mcp'}}" for name in names]
    file = folder / "mantlet.yaml"
    file.write_text(f"environment: development\nmcp: {{servers: [{', '.join(servers)}]}}\n")
    question = question_of({"caller": "ann", "method": "tools/call", "target": target, "server": server})
    return str(answer(load([str(file)], {}).config, question)["named"])


@pytest.mark.parametrize(("target", "server"), [("get", "docs"), ("docs__get", ""), ("get", "")])
def test_it_is_said_how_rules_name_a_tool(tmp_path: Path, target: str, server: str) -> None:
    """One name at /mcp, another in rules: whoever writes rules is told both."""
    assert named(tmp_path, ["docs"], target, server).startswith("'get' or 'docs__get'")


def test_a_tool_without_a_server_is_told_so(tmp_path: Path) -> None:
    assert "docs, time" in named(tmp_path, ["docs", "time"], "now")
