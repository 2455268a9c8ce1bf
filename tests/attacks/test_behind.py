"""What may stand behind a node besides an MCP server: a plain HTTP service, and another node."""

import json
from pathlib import Path
from typing import Any

from tests.attacks.house import House, open_house
from tests.upstreams.transports.openapi.support import DOCUMENT


def server(folder: Path, **more: Any) -> dict[str, Any]:
    return {"mcp": {"servers": [{"name": "behind", **more}]}}


def peer_of(house: House, key: str, **more: Any) -> dict[str, Any]:
    url = f"http://127.0.0.1:{house.calls.port}"
    return {"transport": "peer", "url": url, "headers": {"Authorization": f"Bearer {key}"}, **more}


async def test_a_service_is_called_as_a_tool_and_sees_nothing_of_the_caller(tmp_path: Path) -> None:
    """FWD-01, EGR-03"""
    document = tmp_path / "openapi.json"
    document.write_text(json.dumps(DOCUMENT))
    (tmp_path / "inner").mkdir()
    async with open_house(tmp_path / "inner") as inner:
        url = f"http://127.0.0.1:{inner.one.port}/v1"
        sections = server(tmp_path, transport="openapi", url=url, document=str(document))
        async with open_house(tmp_path, servers=0, **sections) as house:
            listed = await house.legacy("tools/list", server="behind")
            assert {tool["name"] for tool in listed.json["result"]["tools"]} >= {"getPet", "putPet"}
            answer = await house.call("putPet", server="behind", petId="../admin", body={"name": "Tom"})
            assert answer.status == 200
            sent = inner.one.sent[-1]
            assert sent.verb == "PUT"
            assert sent.message == {"name": "Tom"}
            assert not {"authorization", "mcp-session-id", "x-api-key"} & set(sent.headers)
            assert house.keys["alice"].encode() not in sent.body


async def test_another_node_decides_as_if_this_one_were_its_caller(tmp_path: Path) -> None:
    """FWD-01: it sees the key of this node, never the caller's."""
    (tmp_path / "far").mkdir()
    async with open_house(tmp_path / "far") as far:
        sections = server(tmp_path, **peer_of(far, far.keys["bob"], server="one"))
        async with open_house(tmp_path, servers=0, **sections) as near:
            modern = await near.call("echo", server="behind", a=1)
            assert json.loads(modern.json["result"]["content"][0]["text"]) == {"a": 1}
            opened = await near.legacy("initialize", {"protocolVersion": "2025-11-25"}, server="behind")
            session = opened.headers["mcp-session-id"]
            legacy = await near.legacy(
                "tools/call", {"name": "echo", "arguments": {"a": 2}}, server="behind", session=session
            )
            assert json.loads(legacy.json["result"]["content"][0]["text"]) == {"a": 2}
            denied = await near.call("exec", server="behind", credential=near.keys["root"])
            # This node's root may; the far node's bob, who this node is there, may not.
            assert denied.status == 502
            assert {record["principal"] for record in far.audit() if record.get("action") == "tools/call"} == {
                "default/mantlet:api-key/bob"
            }


async def test_a_node_that_refuses_our_key_is_a_bad_upstream_and_no_word_to_the_caller(tmp_path: Path) -> None:
    """FWD-05"""
    (tmp_path / "far").mkdir()
    async with open_house(tmp_path / "far") as far:
        sections = server(tmp_path, **peer_of(far, "mk_wrong"))
        async with open_house(tmp_path, servers=0, **sections) as near:
            answer = await near.call("echo", server="behind")
            assert answer.status == 502
            assert "WWW-Authenticate".lower() not in answer.headers
