"""Callers' own grants on a node of two processes: whichever the kernel gives a connection to."""

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from bench.rig.gateway import Gateway, config, start_gateway
from tests.attacks.house import Answer, Client, call_body, fields_of
from tests.node.oauth_client.test_user_grants import Browser
from tests.servers.guarded import Guarded, guarded
from tests.servers.oidc_provider import Idp, needs_node, running_idp

from mantlet.keys.api_keys import make_api_key

pytestmark = [pytest.mark.node, needs_node, pytest.mark.slow]


@pytest.fixture
def idp(tmp_path: Path) -> Iterator[Idp]:
    node = {
        "client_id": "node",
        "client_secret": Idp.secret("node"),
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "native",
        "redirect_uris": ["http://127.0.0.1/oauth/callback/docs"],
        "token_endpoint_auth_method": "client_secret_basic",
    }
    with running_idp(tmp_path, clients=[node]) as idp:
        yield idp


@dataclass
class Node:
    """A running node, as a browser and a client of many connections see it."""

    gateway: Gateway
    docs: Guarded
    key: str

    async def ask(self, verb: str, path: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> Answer:
        client = await Client.to(int(self.gateway.url.rpartition(":")[2]))
        try:
            return await client.ask(verb, path, headers, body)
        finally:
            client.close()

    async def whoami(self) -> Answer:
        body = call_body(name="whoami")
        return await self.ask("POST", "/mcp/docs", fields_of(body, self.key), json.dumps(body).encode())

    async def command(self, *words: str) -> Any:
        whole = [sys.executable, "-m", "mantlet", *words, "--json", "-c", str(self.gateway.folder / "mantlet.yaml")]
        ended = await asyncio.to_thread(subprocess.run, whole, capture_output=True, text=True, timeout=60, check=False)
        assert ended.returncode == 0, ended.stderr
        return json.loads(ended.stdout)


@contextlib.asynccontextmanager
async def running(folder: Path, idp: Idp) -> AsyncIterator[Node]:
    async with guarded(idp.issuer, lambda: idp.request("GET", "/jwks").json) as docs:
        given = {
            "issuer": idp.issuer,
            "client_id": "node",
            "client_secret": Idp.secret("node"),
            "scope": ["mcp:read"],
        }
        server = {"name": "docs", "url": docs.url, "forward_identity": "user", "user": given}
        whole = config([server], authorization={"rules": [{"name": "all", "allow": {"roles": ["user"]}}]})
        key = make_api_key()[1].reveal()
        whole["http"]["workers"] = 2
        whole["auth"]["api_keys"] = [{"name": "alice", "key": key, "roles": ["user"], "kind": "user"}]
        opening = start_gateway(whole, folder)
        gateway = await asyncio.to_thread(opening.__enter__)
        try:
            yield Node(gateway, docs, key)
        finally:
            await asyncio.to_thread(opening.__exit__, None, None, None)


async def test_two_processes_share_consents_and_refresh_once(tmp_path: Path, idp: Idp) -> None:
    """FWD-04 OAUTH-03: links, states and grants are the node's; a refresh token that rotates is spent once."""
    async with running(tmp_path / "node", idp) as node:
        browser = Browser(SimpleNamespace(ask=node.ask), idp)  # type: ignore[arg-type]
        told = await asyncio.gather(*(node.whoami() for _ in range(20)))
        links = {answer.json["error"]["data"]["url"] for answer in told}
        assert len(links) == 1
        done = await browser.connect(links.pop(), node.key)
        assert done.status == 200, done.body
        answers = await asyncio.gather(*(node.whoami() for _ in range(20)))
        assert {answer.json["result"]["content"][0]["text"] for answer in answers} == {"alice mcp:read"}
        node.docs.revoked |= set(node.docs.seen)
        before = idp.counts["/token"]
        answers = await asyncio.gather(*(node.whoami() for _ in range(50)))
        assert {answer.status for answer in answers} == {200}
        assert idp.counts["/token"] == before + 1
        listed = (await node.command("grants", "list"))["grants"]
        assert [(one["upstream"], one["subject"]) for one in listed] == [("docs", "alice")]
        assert (await node.command("grants", "revoke", "alice")) == {"revoked": 1, "told": 1}
        async with asyncio.timeout(15):
            while {(await node.whoami()).status for _ in range(6)} != {400}:
                await asyncio.sleep(0.2)  # a process looks every two seconds
