"""A whole node as resource server of a real, certified provider: what the guide in docs/identity.md says, done."""

import asyncio
import contextlib
import datetime
import http.client
import json
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from bench.rig.process import free_port
from tests.attacks.house import Answer, Client, House, call_body, fields_of, open_house
from tests.policies.authenticate.issuers.stub import Prover
from tests.servers.oidc_provider import DEVICE, Idp, Refused, needs_node, running_idp

from mantlet.keys.certificates import Made, make_authority, make_client, make_server

pytestmark = [pytest.mark.node, needs_node]

NODE = "https://node.test"
MCP = f"{NODE}/mcp"
RESOURCES = {
    f"{MCP}/es256": {"alg": "ES256"},
    f"{MCP}/eddsa": {"alg": "EdDSA"},
    f"{NODE}/opaque": {"format": "opaque"},
}
RULES = [
    {"name": "writers", "allow": {"scopes": ["mcp:write"], "tools": ["exec"]}},
    {"name": "readers", "allow": {"scopes": ["mcp:read"], "tools": ["echo", "stream"]}},
]


@pytest.fixture(scope="module")
def idp(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Idp]:
    with running_idp(tmp_path_factory.mktemp("idp"), resources=RESOURCES) as idp:
        yield idp


def issuer_of(idp: Idp, **more: Any) -> dict[str, Any]:
    return {"name": "corp", "issuer": idp.issuer, "claims": {"roles": "groups", "tenant": "org"}, **more}


@contextlib.asynccontextmanager
async def node_of(folder: Path, *issuers: dict[str, Any], **sections: Any) -> AsyncIterator[House]:
    auth = {"issuers": list(issuers), **sections.pop("auth", {})}
    whole = {"agent": {"url": NODE}, "authorization": {"rules": RULES}, **sections}
    async with open_house(folder, auth=auth, **whole) as house:
        yield house


async def ask(house: House, token: str, name: str = "echo", **headers: str) -> Answer:
    body = call_body(name=name)
    fields = fields_of(body) | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
    return await house.ask("POST", "/mcp/one", fields, json.dumps(body).encode())


async def get(work: Any, *args: Any, **more: Any) -> Any:
    return await asyncio.to_thread(work, *args, **more)


async def test_tokens_of_each_grant_and_algorithm(tmp_path: Path, idp: Idp) -> None:
    """TOK-01, AUTHN-09: client credentials, code with PKCE, device flow, exchange."""
    async with node_of(tmp_path, issuer_of(idp)) as house:
        machine = await get(idp.client_credentials, MCP)
        person = (await get(idp.authorize, "bob", MCP))["access_token"]
        flow = await get(idp.begin_device, MCP)
        with pytest.raises(Refused, match="authorization_pending"):
            await get(idp.token, grant_type=DEVICE, device_code=flow["device_code"], client_id="device")
        await get(idp.approve_device, flow["user_code"])
        form = {"grant_type": DEVICE, "device_code": flow["device_code"], "client_id": "device", "resource": MCP}
        headless = (await get(idp.token, **form))["access_token"]
        exchanged = (await get(idp.exchange, person, MCP, "mcp:read"))["access_token"]
        for token in (machine, person, headless, exchanged):
            assert (await ask(house, token)).status == 200
        principals = [(line["principal"], line["authentication"]) for line in house.audit() if line["event"] == "call"]
        assert principals == [
            (f"machines/{idp.issuer}/machine", "jwt"),
            (f"bolt/{idp.issuer}/bob", "jwt"),
            (f"acme/{idp.issuer}/alice", "jwt"),
            (f"bolt/{idp.issuer}/bob", "jwt"),
        ]


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_other_algorithms(tmp_path: Path, idp: Idp, algorithm: str) -> None:
    audience = f"{MCP}/{algorithm.lower()}"
    token = await get(idp.client_credentials, audience)
    for listed, status in ((algorithm, 200), ("RS256", 401)):
        folder = tmp_path / listed
        folder.mkdir()
        async with node_of(folder, issuer_of(idp, audience=audience, algorithms=[listed])) as house:
            assert (await ask(house, token)).status == status


async def test_what_is_refused_and_how(tmp_path: Path, idp: Idp) -> None:
    """AUTHN-02, AUTHN-04, TOK-04, TOK-05: the exact challenges, and nothing behind them is reached."""
    async with node_of(tmp_path, issuer_of(idp)) as house:
        metadata = f'resource_metadata="{NODE}/.well-known/oauth-protected-resource/mcp/one"'
        nothing = await ask(house, "")
        assert (nothing.status, nothing.headers["www-authenticate"]) == (401, f'Bearer realm="mantlet", {metadata}')
        granted = await get(idp.authorize, "bob", MCP)
        bad = [
            granted["id_token"],
            granted["refresh_token"],
            await get(idp.client_credentials, "https://somebody.else/mcp"),
            await get(idp.client_credentials, None),
            granted["access_token"][:-8] + "AAAAAAAA",
        ]
        for token in bad:
            answer = await ask(house, token)
            challenge = f'Bearer realm="mantlet", {metadata}, error="invalid_token"'
            assert (answer.status, answer.headers["www-authenticate"]) == (401, challenge)
            assert token not in answer.body.decode()
        good = granted["access_token"]
        assert (await ask(house, good, **{"X-API-Key": good})).status == 400
        assert not house.one.sent
        assert (await ask(house, good)).status == 200


async def test_metadata_leads_a_client_to_the_issuer(tmp_path: Path, idp: Idp) -> None:
    """OAUTH-01: the path-inserted document, exact fields, and a token made as it says is taken."""
    async with node_of(tmp_path, issuer_of(idp, required_scopes=["mcp:read"])) as house:
        answer = await house.ask("GET", "/.well-known/oauth-protected-resource/mcp/one")
        assert answer.json == {
            "resource": f"{MCP}/one",
            "bearer_methods_supported": ["header"],
            "authorization_servers": ["https://issuer.test", idp.issuer],  # the node's own, and this one
            "scopes_supported": ["mcp:read"],
            "dpop_signing_alg_values_supported": ["ES256", "Ed25519", "EdDSA"],
        }
        assert (await house.ask("GET", "/.well-known/oauth-protected-resource/mcp/none")).status == 404
        scope = " ".join(answer.json["scopes_supported"])
        token = await get(idp.client_credentials, answer.json["resource"], scope)
        assert (await ask(house, token)).status == 200
        challenged = await ask(house, await get(idp.client_credentials, MCP, "mcp:write"))
        assert challenged.status == 403
        assert challenged.headers["www-authenticate"].endswith('error="insufficient_scope", scope="mcp:read"')


async def test_opaque_tokens_are_asked_about(tmp_path: Path, idp: Idp) -> None:
    """OAUTH-05: taken while active, refused when revoked; 503 with the issuer down."""
    secret = tmp_path / "introspection.secret"
    secret.write_text(idp.secret("resource-server"))
    secret.chmod(0o600)
    asking = {"enabled": True, "client_id": "resource-server", "client_secret_file": str(secret), "cache": 0}
    config = issuer_of(idp, audience=f"{NODE}/opaque", introspection=asking)
    async with node_of(tmp_path, config) as house:
        token = await get(idp.client_credentials, f"{NODE}/opaque")
        assert "." not in token
        assert (await ask(house, token)).status == 200
        assert (await ask(house, "made-up-token")).status == 401
        assert (await ask(house, await get(idp.client_credentials, None))).status == 401  # no audience
        assert await get(idp.revoke, token) == 200
        assert (await ask(house, token)).status == 401
        other = await get(idp.client_credentials, f"{NODE}/opaque")
        await get(idp.stop)
        try:
            answer = await ask(house, other)
            assert answer.status == 503
            assert b"issuer_unavailable" in answer.body
        finally:
            await get(idp.start)


@pytest.mark.slow
async def test_a_stream_of_an_opaque_token_ends_when_its_issuer_has_revoked_it(tmp_path: Path, idp: Idp) -> None:
    """AUTHN-06, OAUTH-05: long before the token's own end."""
    secret = tmp_path / "introspection.secret"
    secret.write_text(idp.secret("resource-server"))
    secret.chmod(0o600)
    asking = {"enabled": True, "client_id": "resource-server", "client_secret_file": str(secret), "cache": 1}
    config = issuer_of(idp, audience=f"{NODE}/opaque", introspection=asking)
    async with node_of(tmp_path, config) as house:
        revoked, kept = [await get(idp.client_credentials, f"{NODE}/opaque") for _ in range(2)]
        streams = []
        for token in (revoked, kept):
            body = call_body(name="stream")
            client = await Client.to(house.calls.port)
            await client.ask("POST", "/mcp/one", fields_of(body, token), json.dumps(body).encode(), whole=False)
            chunks = client.chunks()
            await anext(chunks)
            streams.append((client, chunks))
        assert await get(idp.revoke, revoked) == 200
        async with asyncio.timeout(10):
            assert [chunk async for chunk in streams[0][1]] == []
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await anext(streams[1][1])
        for client, _ in streams:
            client.close()


async def test_keys_roll_over_when_the_provider_restarts(tmp_path: Path, idp: Idp) -> None:
    """TOK-07: the new key is found with the first token that names it; the old token ends with the old key."""
    async with node_of(tmp_path, issuer_of(idp, key_cooldown=1)) as house:
        old, unused = [await get(idp.client_credentials, MCP) for _ in range(2)]
        assert (await ask(house, old)).status == 200
        await get(idp.restart)
        new = await get(idp.client_credentials, MCP)
        async with asyncio.timeout(20):
            while (await ask(house, new)).status != 200:
                await asyncio.sleep(0.1)  # until the cooldown is over; each wait is an answer of the node
        for token in (unused, old):  # what was remembered of `old` went with its key
            assert (await ask(house, token)).status == 401


async def test_a_node_starts_and_serves_without_its_provider(tmp_path: Path) -> None:
    """OAUTH-02, TOK-07: closed for its tokens alone, and open to them as soon as it is there."""
    (tmp_path / "idp").mkdir()
    idp = Idp(tmp_path / "idp", port=free_port())
    async with node_of(tmp_path, issuer_of(idp)) as house:
        assert (await house.call()).status == 403  # alice's API key: known, and without scopes
        await get(idp.start)
        try:
            token = await get(idp.client_credentials, MCP)
            async with asyncio.timeout(20):
                statuses = []
                while not statuses or statuses[-1] != 200:
                    statuses.append((await ask(house, token)).status)
                    await asyncio.sleep(0.05)
            assert set(statuses[:-1]) <= {503}
        finally:
            await get(idp.stop)
        events = [line["event"] for line in house.audit()]
        assert "issuer.failed" in events


async def test_a_reload_keeps_the_keys(tmp_path: Path) -> None:
    """TOK-07: also while the provider is down; nothing is asked before it serves."""
    (tmp_path / "idp").mkdir()
    with running_idp(tmp_path / "idp") as idp:
        async with node_of(tmp_path, issuer_of(idp)) as house:
            token, unused = [await get(idp.client_credentials, MCP) for _ in range(2)]
            assert (await ask(house, token)).status == 200
            await get(idp.stop)
            await house.node.renewal.prepare(house.config)
            house.node.renewal.commit()
            assert house.node.current.generation.number == 2
            assert (await ask(house, unused)).status == 200


async def test_proof_of_possession(tmp_path: Path, idp: Idp) -> None:
    """TOK-11: RFC 9449 with the provider's own bound token; replayed, moved and missing proofs are refused."""
    prover = Prover()
    at = f"{idp.issuer}/token"
    asked = prover.proof("", htu=at, ath=None, now_s=datetime.datetime.now().timestamp())
    token = await get(idp.client_credentials, MCP, client="prover", headers={"DPoP": asked})

    def proof(**claims: Any) -> str:
        return prover.proof(token, now_s=datetime.datetime.now().timestamp(), **{"htu": f"{MCP}/one", **claims})

    async with node_of(tmp_path, issuer_of(idp)) as house:
        once = proof()
        assert (await ask(house, "", Authorization=f"DPoP {token}", DPoP=once)).status == 200
        replayed = await ask(house, "", Authorization=f"DPoP {token}", DPoP=once)
        assert replayed.status == 401
        challenge = replayed.headers["www-authenticate"]
        assert challenge.startswith('DPoP realm="mantlet", algs="ES256 Ed25519 EdDSA", resource_metadata=')
        assert challenge.endswith('error="invalid_dpop_proof"')
        assert (await ask(house, token)).status == 401
        assert (await ask(house, token, DPoP=proof())).status == 401
        assert (await ask(house, "", Authorization=f"DPoP {token}", DPoP=proof(htu=MCP))).status == 401
        assert (await ask(house, "", Authorization=f"DPoP {token}", DPoP=proof())).status == 200
        assert len(house.one.sent) == 2
        assert all("dpop" not in sent.headers and token not in str(sent.headers) for sent in house.one.sent)


async def test_a_stream_ends_with_its_token(tmp_path: Path, idp: Idp) -> None:
    """AUTHN-06: within 5 s of its expiry (no leeway here)."""
    short = Idp(tmp_path, settings={"resources": {MCP: {"ttl": 2}}})
    await get(short.start)
    try:
        async with node_of(tmp_path, issuer_of(short, leeway=0)) as house:
            token = await get(short.client_credentials, MCP)
            async with asyncio.timeout(2 + 5):
                answer = await ask(house, token, "stream")
            assert answer.status == 200
    finally:
        await get(short.stop)


async def test_a_stream_ends_when_its_key_is_withdrawn(tmp_path: Path) -> None:
    """AUTHN-06: within 5 s of the node's hearing of it, long before its token's own end."""
    (tmp_path / "idp").mkdir()
    with running_idp(tmp_path / "idp") as idp:
        async with node_of(tmp_path, issuer_of(idp, key_cooldown=1)) as house:
            old = await get(idp.client_credentials, MCP)
            body = call_body(name="stream")
            client = await Client.to(house.calls.port)
            head = await client.ask("POST", "/mcp/one", fields_of(body, old), json.dumps(body).encode(), whole=False)
            assert head.status == 200
            chunks = client.chunks()
            await anext(chunks)
            await get(idp.restart)
            new = await get(idp.client_credentials, MCP)
            async with asyncio.timeout(20):
                while (await ask(house, new)).status != 200:
                    await asyncio.sleep(0.1)  # until the cooldown is over
            assert (await ask(house, old)).status == 401  # known a moment ago, and so was its key
            async with asyncio.timeout(5):
                assert [chunk async for chunk in chunks] == []
                await house.one.gone.wait()
            client.close()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder, now = tmp_path_factory.mktemp("tls"), datetime.datetime.now(datetime.UTC)
    ca = make_authority("test", 2, now)

    def put(name: str, made: Made) -> tuple[Path, Path]:
        paths = folder / f"{name}.pem", folder / f"{name}.key"
        for path, text in zip(paths, (made.certificate, made.key), strict=True):
            path.write_text(text)
            path.chmod(0o600)
        return paths

    return {
        "ca": put("ca", ca)[0],
        "server": put("server", make_server(ca, ["127.0.0.1", "localhost"], 1, now)),
        "bound": put("bound", make_client(ca, ["spiffe://example/agent/bound"], [], 1, now)),
        "other": put("other", make_client(ca, ["spiffe://example/agent/other"], [], 1, now)),
    }


async def test_a_token_bound_to_a_certificate(tmp_path: Path, certificates: dict[str, Any]) -> None:
    """TOK-11: RFC 8705; taken over its holder's connection, refused over another's and over none."""
    cert, key = certificates["server"]
    tls = {"cert": cert.read_text(), "key": key.read_text(), "ca": certificates["ca"].read_text()}
    listener = {"port": 0, "tls": {"cert_file": str(cert), "key_file": str(key)}}

    def call(port: int, token: str, shown: tuple[Path, Path] | None) -> int:
        context = ssl.create_default_context(cafile=str(certificates["ca"]))
        if shown is not None:
            context.load_cert_chain(*shown)
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=10)
        body = call_body()
        with contextlib.closing(connection):
            connection.request("POST", "/mcp/one", json.dumps(body), fields_of(body, token))
            return connection.getresponse().status

    with running_idp(tmp_path, tls=tls) as idp:
        token = await get(idp.client_credentials, MCP, client="", client_id="bound", certificate=certificates["bound"])
        config = issuer_of(idp, ca_file=str(certificates["ca"]))
        mtls = {"enabled": True, "ca_file": str(certificates["ca"])}
        async with node_of(tmp_path, config, auth={"mtls": mtls}, http=listener) as house:
            port = house.calls.port
            assert await get(call, port, token, certificates["bound"]) == 200
            assert await get(call, port, token, None) == 401
            assert await get(call, port, token, certificates["other"]) == 401
            assert await get(call, port, token, certificates["bound"]) == 200
            assert len(house.one.sent) == 2
