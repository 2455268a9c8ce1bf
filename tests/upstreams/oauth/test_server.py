"""Requests of a token endpoint: who the node says it is, and which answers are tokens."""

import base64
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import BadUpstream, UpstreamUnavailable
from mantlet.core.secret import Secret
from mantlet.keys.signing import make_signing_key
from mantlet.node.oauth_client.registrations import described, registered
from mantlet.upstreams.identity import UserConfig
from mantlet.upstreams.oauth import AuthorizationServer, Refused, Registration
from mantlet.upstreams.oauth.answer import Tokens, read_tokens

ISSUER = "https://login.example"
METADATA = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize?tenant=a",
    "token_endpoint": f"{ISSUER}/token",
    "code_challenge_methods_supported": ["S256"],
}
GOOD = {"access_token": "at", "token_type": "Bearer", "expires_in": 60}


class Far:
    """A fake `Fetch` that keeps what it was asked."""

    def __init__(self, answer: Any = GOOD, status: int = 200) -> None:
        self.answer, self.status = answer, status
        self.asked: list[tuple[str, str, Mapping[bytes, bytes], dict[str, str]]] = []
        self.metadata: Any = METADATA
        self.now_s = 1_000.0

    async def __call__(self, method: str, url: str, /, **more: Any) -> Fetched:
        form = {name: values[0] for name, values in parse_qs(more.get("body", b"").decode()).items()}
        self.asked.append((method, url, dict(more.get("headers", ())), form))
        if method == "GET":
            return Fetched(200 if self.metadata else 404, Headers(), json.dumps(self.metadata).encode())
        return Fetched(self.status, Headers(), json.dumps(self.answer).encode())

    def server(self, **more: Any) -> AuthorizationServer:
        clock = Clock(lambda: self.now_s, lambda: self.now_s)
        return AuthorizationServer(Registration(ISSUER, "node", **more), self, clock)


async def test_a_secret_stands_in_the_header_encoded_first() -> None:
    far = Far()
    await far.server(secret=Secret("a:b c")).ask({"grant_type": "x"})
    _, _, headers, form = far.asked[-1]
    assert base64.b64decode(headers[b"authorization"].removeprefix(b"Basic ")) == b"node:a%3Ab+c"
    assert form == {"grant_type": "x", "client_id": "node"}


async def test_or_in_the_form_or_there_is_none() -> None:
    far = Far()
    await far.server(secret=Secret("s"), manner="post").ask({})
    assert far.asked[-1][3] == {"client_id": "node", "client_secret": "s"}
    await far.server().ask({})
    assert far.asked[-1][3] == {"client_id": "node"}
    assert all(b"authorization" not in headers for _, _, headers, _ in far.asked)


async def test_an_assertion_is_for_this_issuer_alone_and_new_each_time(tmp_path: Any) -> None:
    """OAUTH-08: captured, it is useless anywhere else."""
    pair = make_signing_key(tmp_path / "client.pem")
    given = UserConfig(issuer=ISSUER, client_id="node", private_key_file=str(tmp_path / "client.pem"))
    far = Far()
    server = AuthorizationServer(registered("docs", given, "https://node.example"), far, SYSTEM)
    for _ in range(2):
        await server.ask({"grant_type": "x"})
    shown = [form["client_assertion"] for method, _, _, form in far.asked if method == "POST"]
    claims = [jwt.decode(one, pair.public, ["EdDSA"], audience=ISSUER) for one in shown]
    assert {(one["aud"], one["iss"], one["sub"]) for one in claims} == {(ISSUER, "node", "node")}
    assert claims[0]["jti"] != claims[1]["jti"]
    assert claims[0]["exp"] - claims[0]["iat"] <= 60
    assert all("client_secret" not in form for _, _, _, form in far.asked)


def test_a_node_without_a_registration_is_known_by_its_metadata(tmp_path: Any) -> None:
    given = UserConfig(issuer=ISSUER, scope=("a", "b"))
    registration = registered("docs", given, "https://node.example")
    assert registration.client_id == "https://node.example/oauth/client/docs"
    told = described(registration.client_id, "https://node.example/oauth/callback/docs", "edge", given)
    assert told["client_id"] == registration.client_id
    assert told["redirect_uris"] == ["https://node.example/oauth/callback/docs"]
    assert (told["token_endpoint_auth_method"], told["scope"]) == ("none", "a b")
    make_signing_key(tmp_path / "client.pem")
    keyed = UserConfig(issuer=ISSUER, private_key_file=str(tmp_path / "client.pem"))
    told = described(registration.client_id, "https://node.example/oauth/callback/docs", "edge", keyed)
    assert told["token_endpoint_auth_method"] == "private_key_jwt"
    assert "d" not in told["jwks"]["keys"][0]


async def test_the_authorization_url_keeps_what_the_endpoint_had() -> None:
    """OAUTH-03"""
    url = await Far().server().authorization_url({"state": "s&t", "scope": "a b"})
    query = parse_qs(urlsplit(url).query)
    assert query == {
        "tenant": ["a"],
        "response_type": ["code"],
        "client_id": ["node"],
        "state": ["s&t"],
        "scope": ["a b"],
    }


async def test_without_s256_no_browser_is_sent() -> None:
    """OAUTH-03"""
    far = Far()
    far.metadata = {**METADATA, "code_challenge_methods_supported": ["plain"]}
    with pytest.raises(BadUpstream):
        await far.server().authorization_url({})


async def test_metadata_is_kept_for_a_while_and_another_issuers_never() -> None:
    """OAUTH-02"""
    far = Far()
    server = far.server()
    for _ in range(3):
        await server.ask({})
    assert [method for method, *_ in far.asked] == ["GET", "POST", "POST", "POST"]
    far.now_s += 601
    far.metadata = {**METADATA, "issuer": "https://evil.example"}
    with pytest.raises(BadUpstream):
        await server.ask({})


async def test_named_endpoints_are_not_asked_for() -> None:
    far = Far()
    server = far.server(authorization_endpoint="https://a.example/a", token_endpoint="https://b.example/t")
    await server.ask({})
    assert [url for _, url, *_ in far.asked] == ["https://b.example/t"]
    assert not (await server.endpoints()).says_iss


async def test_to_revoke_is_a_courtesy() -> None:
    far = Far()
    assert not await far.server().revoke("t")
    far.metadata = {**METADATA, "revocation_endpoint": f"{ISSUER}/revoke"}
    assert await far.server().revoke("t")

    async def down(*_: Any, **__: Any) -> Fetched:
        raise UpstreamUnavailable

    assert not await AuthorizationServer(Registration(ISSUER, "node"), down, SYSTEM).revoke("t")


@pytest.mark.parametrize(
    ("changes", "ends_s"),
    [({}, 1_060.0), ({"expires_in": None}, 0.0), ({"expires_in": "60"}, 1_060.0), ({"token_type": "bearer"}, 1_060.0)],
)
def test_tokens_are_read(changes: Any, ends_s: float) -> None:
    body = {name: value for name, value in {**GOOD, "refresh_token": "rt", "scope": "a b", **changes}.items() if value}
    assert read_tokens(200, json.dumps(body).encode(), now_s=1_000.0) == Tokens("at", ends_s, "rt", "a b")


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": ""},
        {"access_token": None},
        {"access_token": 7},
        {"access_token": "a b"},
        {"access_token": "a\r\nX-Evil: 1"},
        {"access_token": "ä"},
        {"access_token": "x" * 20_000},
        {"refresh_token": "a\nb"},
        {"token_type": "mac"},
        {"token_type": None},
        {"expires_in": -1},
        {"expires_in": 0},
        {"expires_in": True},
        {"expires_in": 1e300},
        {"expires_in": "soon"},
        {"expires_in": [60]},
        {"scope": ["a"]},
        {"scope": "a\nb"},
    ],
)
def test_what_is_no_answer_of_a_token_endpoint_is_not_believed(changes: Any) -> None:
    with pytest.raises(BadUpstream):
        read_tokens(200, json.dumps({**GOOD, **changes}).encode(), now_s=0.0)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (400, b'{"error":"invalid_grant","error_description":"x"}', "invalid_grant"),
        (401, b'{"error":"invalid_client"}', "invalid_client"),
    ],
)
def test_a_refusal_is_the_servers_own_word(status: int, body: bytes, error: str) -> None:
    with pytest.raises(Refused) as refused:
        read_tokens(status, body, now_s=0.0)
    assert refused.value.error == error


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, b"{}"),
        (400, b'{"error":"<script>"}'),
        (400, b'{"error":["invalid_grant"]}'),
        (500, b'{"error":"invalid_grant"}'),
        (302, b"{}"),
        (200, b"access_token=at&token_type=bearer"),
        (200, b""),
        (200, b"[]"),
    ],
)
def test_anything_else_is_the_servers_failure(status: int, body: bytes) -> None:
    """And so ends no grant."""
    with pytest.raises(BadUpstream):
        read_tokens(status, body, now_s=0.0)
