"""Clients by the URL of their metadata: hostile documents at addresses that a stranger chose."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import ClientRefused, EgressDenied
from mantlet.policies.authorization_server.client_metadata import MAX_BYTES, ClientMetadata, client_of, why_no_id
from mantlet.policies.authorization_server.clients import Client
from mantlet.policies.authorization_server.config import ClientMetadataConfig

ID = "https://app.example/client.json"
GOOD = {"client_id": ID, "client_name": "App", "redirect_uris": ["https://app.example/back"]}


class Web:
    def __init__(self, body: Any = GOOD, status: int = 200) -> None:
        self.body, self.status = body, status
        self.asked: list[tuple[str, int]] = []
        self.now_s = 0.0

    async def __call__(
        self,
        method: str,
        url: str,
        /,
        *,
        headers: Sequence[tuple[bytes, bytes]] = (),
        body: bytes = b"",
        timeout_s: float = 10.0,
        max_bytes: int = 1_048_576,
    ) -> Fetched:
        self.asked.append((url, max_bytes))
        if self.body is None:
            raise EgressDenied
        raw = self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()
        return Fetched(self.status, Headers(), raw)

    def clients(self, **config: Any) -> ClientMetadata:
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        return ClientMetadata(ClientMetadataConfig(enabled=True, **config), self, clock)


async def test_a_client_is_what_its_document_says_of_names_and_redirects_alone() -> None:
    """OAUTH-04: whose words they are stands beside them; rights are the operator's to give."""
    web = Web({**GOOD, "scope": "admin", "roles": ["admin"]})
    clients = web.clients()
    client = await clients.find(ID)
    assert (client.id, client.name) == (ID, "App (as app.example calls it)")
    assert client.roles == ("user",)
    assert client.may_redirect("https://app.example/back")
    assert not client.may_redirect("https://app.example/other")
    await clients.find(ID)
    assert web.asked == [(ID, MAX_BYTES)], "remembered"


@pytest.mark.parametrize(
    "client_id",
    [
        "http://app.example/client.json",
        "https://app.example",
        "https://app.example/",
        "https://app.example/a/../client.json",
        "https://app.example/client.json?x=1",
        "https://app.example/client.json#x",
        "https://user@app.example/client.json",
        "https://app.example:x/client.json",
        "https:///client.json",
        "https://app.example/" + "x" * 600,
        "https://app.example/cl ient",
    ],
)
async def test_what_is_no_url_of_metadata_is_not_fetched(client_id: str) -> None:
    """EGR-01"""
    web = Web()
    assert why_no_id(client_id)
    with pytest.raises(ClientRefused):
        await web.clients().find(client_id)
    assert web.asked == []


@pytest.mark.parametrize(
    "body",
    [
        None,
        b"",
        b"<html>",
        b'{"client_id": "x", "client_id": "y"}',
        [],
        {**GOOD, "client_id": ID + "/"},
        {**GOOD, "redirect_uris": []},
        {**GOOD, "redirect_uris": "https://app.example/back"},
        {**GOOD, "redirect_uris": ["javascript:alert(1)"]},
        {**GOOD, "redirect_uris": ["http://app.example/back"]},
        {**GOOD, "redirect_uris": ["https://app.example/*"]},
        {**GOOD, "redirect_uris": ["https://a.example/"] * 21},
        {**GOOD, "client_name": "a\nb"},
        {**GOOD, "client_name": "x" * 300},
        {**GOOD, "client_name": {"a": 1}},
        {**GOOD, "client_secret": "s"},
        {**GOOD, "token_endpoint_auth_method": "client_secret_basic"},
    ],
)
async def test_a_document_that_is_odd_makes_no_client_and_is_not_asked_for_again_at_once(body: Any) -> None:
    """OAUTH-02"""
    web = Web(body)
    clients = web.clients()
    for _ in range(3):
        with pytest.raises(ClientRefused):
            await clients.find(ID)
    assert len(web.asked) == 1
    web.now_s += 31.0
    web.body = GOOD
    assert (await clients.find(ID)).id == ID


async def test_hosts_can_be_listed_and_a_status_is_no_document() -> None:
    web = Web()
    with pytest.raises(ClientRefused):
        await web.clients(hosts=("other.example",)).find(ID)
    assert web.asked == []
    assert (await web.clients(hosts=("app.example",)).find(ID)).id == ID
    web.status = 404
    with pytest.raises(ClientRefused):
        await web.clients().find(ID)


@pytest.mark.parametrize(
    ("own", "uri", "expected"),
    [
        ("http://127.0.0.1/callback", "http://127.0.0.1:5000/callback", True),
        ("http://[::1]/callback", "http://[::1]:5000/callback", True),
        ("http://127.0.0.1/callback", "http://[::1]:5000/callback", False),
        ("http://127.0.0.1/callback", "https://127.0.0.1/callback", False),
        ("http://127.0.0.1/callback", "http://127.0.0.1/callback?x", False),
        ("https://app.example/back", "https://app.example:443/back", False),
        ("https://app.example/back", "https://APP.example/back", False),
        ("https://app.example/back", "https://app.example/back", True),
    ],
)
def test_redirects_are_compared_as_they_stand_but_for_a_loopback_port(own: str, uri: str, expected: bool) -> None:
    """OAUTH-04: RFC 8252 section 7.3 and no more."""
    assert Client("c", "c", (own,)).may_redirect(uri) == expected


def test_a_document_is_read_without_a_network() -> None:
    assert isinstance(client_of(GOOD, ID, ("user",)), Client)
