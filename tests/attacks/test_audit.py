"""What is not recorded does not happen (AUD-01, AUD-02, AUD-06)."""

import asyncio
import errno
import json
import shutil
from collections import Counter
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

import pytest
from tests.attacks.house import House, call_body, fields_of, open_house

from mantlet.core.secret import Secret
from mantlet.events.audit import writer
from mantlet.events.audit.files import Files
from mantlet.events.audit.verify import INTACT, TAMPERED, TORN, verify
from mantlet.keys.forwarded import derive, sealer_with
from mantlet.policies.authorization_server.login import refresh_token

LOGIN = "a1B2c3D4e5F6g7H8i9J0kL"


async def recovered(house: House) -> None:
    async with asyncio.timeout(10):
        while (await house.call()).status != 200:
            await asyncio.sleep(0.02)


async def test_while_nothing_can_be_written_nothing_is_done(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """AUD-02: 503 and no call upstream; afterwards work goes on without a restart."""
    assert (await house.call()).status == 200
    with monkeypatch.context() as broken:

        def full(*_: Any) -> int:
            raise OSError(errno.ENOSPC, "no space left")

        broken.setattr(Files, "write", full)
        first = await house.call()  # found out by this one: it was done, and is not acknowledged
        assert first.status == 503
        sent = len(house.one.sent)
        answers = await asyncio.gather(*(house.call() for _ in range(20)), house.call(credential="garbage"))
        assert {answer.status for answer in answers} == {503}
        assert answers[0].json["reason"] == "audit_unavailable"
        assert (await house.ask("GET", "/readyz", door="admin")).status == 503
        assert (await house.ask("GET", "/livez", door="admin")).status == 200
        assert len(house.one.sent) == sent
    await recovered(house)
    assert (await house.ask("GET", "/readyz", door="admin")).status == 200


async def test_a_trail_that_is_taken_away_in_mid_flight_stops_the_work(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUD-02: the directory is moved and a file put in its place; nothing is recorded into the void."""
    monkeypatch.setattr(writer, "LOOK_S", 0.0)
    audit = Path(house.config.audit.path)
    away = audit.with_name("away")
    assert (await house.call()).status == 200
    audit.rename(away)
    audit.write_text("not a directory")
    assert (await house.call()).status == 503  # found out by this one
    before = len(house.one.sent)
    assert {(await house.call()).status for _ in range(20)} == {503}
    assert len(house.one.sent) == before
    audit.unlink()
    away.rename(audit)
    await recovered(house)
    assert verify_exit(house) in (INTACT, TORN)


async def test_a_deleted_trail_is_begun_anew_and_says_what_is_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUD-07: the loss is on record, and the verifier names it."""
    monkeypatch.setattr(writer, "LOOK_S", 0.0)
    assert (await house.call()).status == 200
    shutil.rmtree(house.config.audit.path)
    assert (await house.call()).status == 200
    assert any("audit.lost" in json.dumps(record) for record in house.audit())
    assert verify_exit(house) == TAMPERED


async def test_each_request_is_recorded_once_and_says_whose_it_was(tmp_path: Path) -> None:
    """AUD-01, AUTHZ-08"""
    async with open_house(tmp_path) as house:
        callers = {f"caller-{n}": house.token(f"caller-{n}") for n in range(20)}
        whose: dict[str, str] = {}

        async def work(subject: str, token: str) -> None:
            for n in range(25):
                name = "exec" if n % 5 == 0 else "echo"
                answer = await house.call(name, credential=token, says=f"{subject}-{n}")
                whose[answer.headers["x-request-id"]] = subject
                assert answer.status == (403 if name == "exec" else 200)
                if name == "echo":
                    assert json.loads(answer.json["result"]["content"][0]["text"]) == {"says": f"{subject}-{n}"}

        await asyncio.gather(*(work(*caller) for caller in callers.items()))
        lines = [json.dumps(record) for record in house.audit()]
        counted = Counter(request for line in lines for request in whose if f'"{request}"' in line)
        assert len(whose) == 500
        assert set(counted.values()) == {1}
        assert len(counted) == 500
        for line in lines:
            for request, subject in whose.items():
                if f'"{request}"' in line:
                    assert f'/{subject}"' in line
        assert len(house.one.sent) == 400
    assert verify_exit(house) == INTACT


def verify_exit(house: House) -> int:
    audit = Path(house.config.audit.path)
    keys = audit.parent / "keys"
    report = verify(
        audit,
        (keys / "audit-chain.key").read_bytes(),
    )
    return report.exit_code


async def test_credentials_are_nowhere_but_on_their_way_in(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """AUD-06, FWD-01: good and bad ones, in every place where one might be put."""
    async with open_house(tmp_path) as house:
        good = [*house.keys.values(), house.token("carol"), house.token("dora", aud="https://other.test")]
        bad = [f"canary{n:02d}" + "x" * 30 for n in range(8)]
        answers = [await house.call(name, credential=key) for key in good for name in ("echo", "exec")]
        body = json.dumps(call_body()).encode()
        fields = fields_of(call_body())
        alice = house.keys["alice"]
        for more, path in (
            ({"Authorization": f"Bearer {bad[0]}"}, "/mcp/one"),
            ({"Authorization": bad[1]}, "/mcp/one"),
            ({"X-API-Key": bad[2]}, "/mcp/one"),
            ({"Cookie": f"session={bad[3]}"}, "/mcp/one"),
            ({}, f"/mcp/one?token={bad[4]}"),
            ({"Authorization": f"Bearer {alice}"}, f"/mcp/one?access_token={bad[5]}"),
            ({"Authorization": f"Bearer {alice}", "Cookie": f"a={bad[6]}", "Proxy-Authorization": bad[6]}, "/mcp/one"),
            ({"Authorization": f"Bearer {alice}", "X-API-Key": bad[7]}, "/mcp/one"),
        ):
            answers.append(await house.ask("POST", path, {**fields, **more}, body))
            answers.append(await house.ask("GET", path, more, door="admin"))
        root = {"Authorization": f"Bearer {house.keys['root']}"}
        for path in ("/metrics", "/admin/v1/status", "/admin/v1/upstreams", "/admin/v1/connections"):
            answers.append(await house.ask("GET", path, root, door="admin"))
        upstream = b"".join(json.dumps(sent.headers).encode() + sent.body for sent in house.one.sent)
    output = capfd.readouterr()
    written = b"".join(path.read_bytes() for path in Path(house.config.audit.path).rglob("*") if path.is_file())
    seen = b"".join([*(a.body + json.dumps(dict(a.headers)).encode() for a in answers), written, upstream])
    seen += (output.out + output.err).encode()
    for secret in [*good, *bad]:
        assert secret.encode() not in seen
        if secret.startswith("ey"):
            assert secret.rpartition(".")[2].encode() not in seen


async def test_a_credential_in_the_place_of_a_name_is_not_written_down(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """AUD-06: pasted where a tool's name belongs, it goes to the server and into no record or figure."""
    async with open_house(tmp_path) as house:
        refresh = refresh_token(LOGIN, 7, b"k" * 32)
        sealed = sealer_with(derive(Secret(token_urlsafe(48)), "agent"))({"sub": "carol"})
        secrets = [house.keys["bob"], house.token("carol"), refresh, sealed]
        for secret in secrets:
            for name in (secret, f"one__{secret}"):
                await house.call(name)
                await house.call(name, server="")
                await house.call(name, credential=house.keys["norules"])
        root = {"Authorization": f"Bearer {house.keys['root']}"}
        metrics = await house.ask("GET", "/metrics", root, door="admin")
    output = capfd.readouterr()
    written = b"".join(path.read_bytes() for path in Path(house.config.audit.path).rglob("*") if path.is_file())
    seen = written + metrics.body + (output.out + output.err).encode()
    assert b"[masked]" in written
    for secret in secrets:
        assert secret[-30:].encode() not in seen


async def test_a_credential_in_an_operators_words_is_not_written_down(tmp_path: Path) -> None:
    """AUD-06: nor one in the path of a service."""
    rules = {"rules": [{"name": "all", "allow": {}}], "approvals": {"tools": ["echo"], "hold": 0}}
    services = [{"name": "plain", "url": "http://127.0.0.1:1"}]
    async with open_house(tmp_path, authorization=rules, http_upstreams=services) as house:
        root = {"Authorization": f"Bearer {house.keys['root']}"}
        secrets = [house.keys["bob"], house.token("carol"), refresh_token(LOGIN, 7, b"k" * 32)]
        for secret in secrets:
            request = (await house.call(path=secret)).json["error"]["data"]["approval"]
            for verb, path in (
                ("POST", f"approvals/{request}?decision=deny&note={secret}"),
                ("POST", f"kills?kind=tool&name={secret}&reason={secret}"),
                ("POST", f"approvals/{secret}?decision=deny"),
                ("DELETE", f"keys/{secret}"),
                ("GET", f"limits?client={secret}"),
                ("POST", f"pins?server={secret}&kind=tools&name={secret}&hash={secret}"),
            ):
                await house.ask(verb, f"/admin/v1/{path}", root, door="admin")
            await house.ask("GET", f"/api/plain/{secret}", root)
    written = b"".join(path.read_bytes() for path in Path(house.config.audit.path).rglob("*") if path.is_file())
    assert b"switch.killed" in written
    assert b"approval.denied" in written
    for secret in secrets:
        assert secret[-30:].encode() not in written
