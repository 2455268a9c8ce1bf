"""Approvals given over the admin door, as callers, upstreams, webhooks and the record meet them."""

import asyncio
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

from tests.attacks.house import Answer, House, open_house

from mantlet.node.steps.approvals import signature

APPROVALS = "/admin/v1/approvals"
SECTION = {"rules": [{"name": "all", "allow": {}}], "approvals": {"tools": ["hold", "one__echo"], "hold": 0}}


async def admin(house: House, verb: str = "GET", path: str = "", *, who: str = "root") -> Answer:
    bearer = {"Authorization": f"Bearer {house.keys[who]}"}
    return await house.ask(verb, APPROVALS + path, bearer, door="admin")


def refusal(answer: Answer) -> Any:
    assert answer.status == 403, answer.body
    return answer.json["error"]["data"]


async def test_a_call_waits_is_seen_approved_and_passes_once(tmp_path: Path) -> None:
    """AUTHZ-09: bound to caller, tool and exact arguments; used once; all arguments seen, hidden ones too."""
    async with open_house(tmp_path, authorization=SECTION) as house:
        told = refusal(await house.call(path="/a\u202e"))
        assert told["reason"] == "approval_pending"
        [listed] = (await admin(house)).json["approvals"]
        assert (listed["id"], listed["state"], listed["tool"]) == (told["approval"], "pending", "echo")
        shown = (await admin(house, path=f"/{told['approval']}")).json
        assert shown["params"] == '{"arguments":{"path":"/a\\u{202E}"},"name":"echo"}'
        approved = await admin(house, "POST", f"/{told['approval']}?decision=approve&note=ok")
        assert approved.json["state"] == "approved"
        for changed in [{"path": "/b"}, {"path": "/a"}, {"path": "/a\u202e", "more": 1}]:
            assert refusal(await house.call(**changed))["reason"] == "approval_pending"
        assert refusal(await house.call(path="/a\u202e", credential=house.keys["bob"]))["reason"] == "approval_pending"
        assert house.one.sent == []
        passed = await house.call(path="/a\u202e")
        assert passed.status == 200
        [sent] = house.one.sent
        assert sent.message["params"]["arguments"] == {"path": "/a\u202e"}
        assert refusal(await house.call(path="/a\u202e"))["reason"] == "approval_pending"
        assert len(house.one.sent) == 1
        events = [record["event"] for record in house.audit() if record["event"].startswith("approval.")]
        assert events[:2] == ["approval.requested", "approval.given"]
        used = next(record for record in house.audit() if record["event"] == "call" and record["verdict"] == "allow"
                    and record.get("object") == "echo")  # fmt: skip
        assert used["notes"]["approval"] == told["approval"]
        assert used["notes"]["approved_by"] == approved.json["decided_by"]


async def test_a_held_call_goes_on_when_it_is_approved(tmp_path: Path) -> None:
    section = {**SECTION, "approvals": {"tools": ["echo"], "hold": 30}}
    async with open_house(tmp_path, authorization=section) as house:
        waiting = asyncio.ensure_future(house.call(path="/a"))
        while not (found := (await admin(house)).json["approvals"]):
            await asyncio.sleep(0)
        assert not waiting.done()
        await admin(house, "POST", f"/{found[0]['id']}?decision=approve")
        assert (await waiting).status == 200


async def test_who_may_not_decide(tmp_path: Path) -> None:
    """AUTHZ-05, AUTHZ-09: administrators alone, never the requester; what is decided stays decided."""
    async with open_house(tmp_path, authorization=SECTION) as house:
        theirs = refusal(await house.call(credential=house.keys["root"]))["approval"]
        own = await admin(house, "POST", f"/{theirs}?decision=approve")
        assert (own.status, own.json["reason"]) == (403, "denied")
        assert (await admin(house, "POST", f"/{theirs}?decision=approve", who="alice")).status == 403
        assert (await admin(house, who="alice")).status == 403
        assert (await admin(house, "POST", f"/{theirs}?decision=maybe")).status == 400
        assert (await admin(house, "POST", "/unknown?decision=approve")).status == 404
        assert (await house.ask("GET", APPROVALS)).status in (401, 404)
        alices = refusal(await house.call())["approval"]
        assert (await admin(house, "POST", f"/{alices}?decision=deny")).json["state"] == "denied"
        assert (await admin(house, "POST", f"/{alices}?decision=approve")).status == 400
        assert refusal(await house.call())["reason"] == "approval_denied"
        assert house.one.sent == []


async def test_without_the_section_there_is_nothing_to_decide(tmp_path: Path) -> None:
    async with open_house(tmp_path) as house:
        assert (await admin(house)).status == 404
        assert (await house.call()).status == 200


async def test_a_webhook_is_told_and_can_prove_by_whom(tmp_path: Path) -> None:
    heard: asyncio.Queue[tuple[dict[str, str], bytes]] = asyncio.Queue()

    async def hook(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        heard.put_nowait((headers, await reader.readexactly(int(headers["content-length"]))))
        writer.write(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(hook, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    secret = "5f1d7a84c7e2ffb2c0f9d2a1b7c83e90aa"
    webhook = {"url": f"http://127.0.0.1:{port}/hook", "secret": secret}
    section = {**SECTION, "approvals": {"tools": ["*"], "hold": 0, "webhook": webhook}}
    async with server, open_house(tmp_path, authorization=section) as house:
        told = refusal(await house.call(path="/secret"))
        async with asyncio.timeout(5):
            headers, body = await heard.get()
        message = json.loads(body)
        assert (message["event"], message["approval"], message["tool"]) == (
            "approval.requested", told["approval"], "echo",
        )  # fmt: skip
        assert b"/secret" not in body
        at = headers["x-mantlet-signature"].partition(",")[0].removeprefix("t=")
        expected = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
        assert headers["x-mantlet-signature"] == f"t={at},v1={expected}"
        assert signature(body, secret.encode(), int(at)).decode() == headers["x-mantlet-signature"]
