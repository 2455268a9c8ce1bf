"""What each mode says, how long it is kept, and to whom nothing is said."""

import asyncio
from typing import Any
from urllib.parse import parse_qs

import jwt as pyjwt
import pytest

from mantlet.core.caller import Binding, Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import BadUpstream, Denied
from mantlet.core.secret import Secret
from mantlet.upstreams.client import TlsConfig
from mantlet.upstreams.identity import NODE, EncryptConfig, ExchangeConfig, Outgoing, UserConfig, check_identity
from mantlet.upstreams.identity import exchanged as exchanged_module
from mantlet.upstreams.identity.at_issuer import AtIssuer, Client
from mantlet.upstreams.identity.claims import Terms
from mantlet.upstreams.identity.exchanged import Exchanged
from mantlet.upstreams.identity.fields import About
from mantlet.upstreams.identity.passed import Passed
from mantlet.upstreams.identity.sealed import Sealed
from mantlet.wire.forwarded import request_digest, token_hash

ISSUER = "https://idp.example"
TARGET = "https://up.example/mcp"
REQUEST = Outgoing(b"POST", b"/mcp", b"{}")
ALICE = Caller("alice", ISSUER, "jwt", scopes=frozenset({"a", "b"}), expires_at_s=2_000.0)
SHOWN = Headers([(b"authorization", b"Bearer mine"), (b"cookie", b"c=d"), (b"x-api-key", b"key")])
PRODUCTION = About("1.2", is_development=False)


class House:
    def __init__(self) -> None:
        self.now_s = 1_000.0
        self.made: list[Any] = []
        self.clock = Clock(lambda: self.now_s, lambda: self.now_s)
        self.terms = Terms("https://edge", "edge-1", TARGET, "production", 300)

    def sign(self, claims: Any) -> str:
        self.made.append(claims)
        return f"token-{len(self.made)}"

    def new_id(self) -> str:
        return f"id-{len(self.made)}"

    @property
    def exchanged(self) -> Exchanged:
        return Exchanged(self.terms, PRODUCTION, self.sign, self.new_id, self.clock)


@pytest.fixture
def house() -> House:
    return House()


async def test_a_token_is_made_once_for_a_caller_and_kept_for_half_its_life(house: House) -> None:
    exchanged = house.exchanged
    for _ in range(3):
        fields = dict(await exchanged(ALICE, SHOWN, REQUEST))
    assert fields[b"authorization"] == b"Bearer token-1"
    assert house.made[0]["token_hash"] == token_hash(b"mine")
    house.now_s += 149
    assert dict(await exchanged(ALICE, SHOWN, REQUEST))[b"authorization"] == b"Bearer token-1"
    house.now_s += 2
    assert dict(await exchanged(ALICE, SHOWN, REQUEST))[b"authorization"] == b"Bearer token-2"


@pytest.mark.parametrize(
    "other",
    [
        Caller("bob", ISSUER, "jwt", scopes=ALICE.scopes, expires_at_s=2_000.0),
        Caller("alice", "https://other", "jwt", scopes=ALICE.scopes, expires_at_s=2_000.0),
        Caller("alice", ISSUER, "jwt", "acme", scopes=ALICE.scopes, expires_at_s=2_000.0),
        Caller("alice", ISSUER, "jwt", scopes=frozenset({"a"}), expires_at_s=2_000.0),
        Caller("alice", ISSUER, "jwt", scopes=ALICE.scopes, roles=frozenset({"r"}), expires_at_s=2_000.0),
        Caller("alice", ISSUER, "jwt", scopes=ALICE.scopes, expires_at_s=1_100.0),
        Caller("alice", ISSUER, "jwt", scopes=ALICE.scopes, expires_at_s=2_000.0, credential_id="x"),
        Caller("alice", ISSUER, "jwt", scopes=ALICE.scopes, expires_at_s=2_000.0, act=("p",)),
        Caller("alice", ISSUER, "jwt", scopes=ALICE.scopes, expires_at_s=2_000.0, kind="agent"),
    ],
)
async def test_another_caller_never_gets_a_kept_token(house: House, other: Caller) -> None:
    """FWD-01: a kept answer is for exactly what it was made of."""
    exchanged = house.exchanged
    await exchanged(ALICE, SHOWN, REQUEST)
    assert dict(await exchanged(other, SHOWN, REQUEST))[b"authorization"] == b"Bearer token-2"


async def test_another_token_of_the_same_caller_is_another(house: House) -> None:
    exchanged = house.exchanged
    await exchanged(ALICE, SHOWN, REQUEST)
    await exchanged(ALICE, Headers([(b"authorization", b"Bearer other")]), REQUEST)
    await exchanged(ALICE, Headers(), REQUEST)
    hashes = [claims.get("token_hash") for claims in house.made]
    assert hashes == [token_hash(b"mine"), token_hash(b"other"), None]


async def test_a_short_rest_is_used_to_its_half(house: House) -> None:
    exchanged = house.exchanged
    caller = Caller("a", ISSUER, "jwt", expires_at_s=1_010.0)
    await exchanged(caller, SHOWN, REQUEST)
    house.now_s += 4.9
    await exchanged(caller, SHOWN, REQUEST)
    assert len(house.made) == 1
    house.now_s += 0.2
    await exchanged(caller, SHOWN, REQUEST)
    assert [claims["exp"] for claims in house.made] == [1_010, 1_010]


async def test_what_is_kept_is_bounded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanged_module, "MAX_HELD", 2)
    exchanged = house.exchanged
    for name in ("a", "b", "c", "a"):
        await exchanged(Caller(name, ISSUER, "jwt"), SHOWN, REQUEST)
    assert len(house.made) == 4


async def test_the_node_asks_for_itself_without_rights(house: House) -> None:
    await house.exchanged(NODE, Headers(), REQUEST)
    (claims,) = house.made
    assert (claims["sub"], claims["kind"]) == ("mantlet:node#node", "service")
    assert not {"scope", "roles", "token_hash"} & set(claims)


@pytest.mark.parametrize("is_development", [False, True])
async def test_only_development_names_people_in_headers(house: House, is_development: bool) -> None:
    """FWD-01: in production no personal data in headers."""
    about = About("1.2", is_development=is_development)
    caller = Caller("ali\r\nce ä", ISSUER, "jwt")
    fields = await Exchanged(house.terms, about, house.sign, house.new_id, house.clock)(caller, SHOWN, REQUEST)
    rest = dict(fields[1:])
    expected = {b"x-auth-type": b"forwarded", b"x-agent-version": b"1.2"}
    if is_development:
        expected |= {
            b"x-forwarded-auth-type": b"jwt",
            b"x-forwarded-user-id": b"ali%0D%0Ace %C3%A4",
            b"x-forwarded-auth-provider": ISSUER.encode(),
        }
    assert rest == expected


async def test_a_sealed_token_is_new_each_time_and_for_one_request(house: House) -> None:
    """FWD-02"""
    sealed = Sealed(house.terms, PRODUCTION, house.sign, house.new_id, house.clock)
    await sealed(ALICE, SHOWN, REQUEST)
    await sealed(ALICE, SHOWN, REQUEST)
    first, second = house.made
    assert first["req"] == second["req"] == request_digest(b"POST", b"/mcp", b"{}")
    assert first["jti"] != second["jti"]
    with pytest.raises(Denied):
        await sealed(ALICE, SHOWN, Outgoing(b"POST", b"/mcp", None))


async def test_passthrough_is_for_development(house: House) -> None:
    """FWD-01"""
    for environment in ("staging", "production", ""):
        with pytest.raises(ValueError, match="development"):
            Passed(PRODUCTION, environment)
    fields = dict(await Passed(PRODUCTION, "development")(ALICE, SHOWN, REQUEST))
    assert (fields[b"authorization"], fields[b"x-api-key"]) == (b"Bearer mine", b"key")
    assert b"cookie" not in fields


# --- at the caller's issuer ------------------------------------------------------------------------------------------


class Issuer:
    """A `Fetch` that is an authorization server."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, list[str]], dict[bytes, bytes]]] = []
        self.status = 200
        self.more: dict[str, Any] = {}
        self.metadata: dict[str, Any] = {"issuer": ISSUER, "token_endpoint": f"{ISSUER}/token"}
        self.gate: asyncio.Event | None = None

    async def __call__(self, method: str, url: str, /, **given: Any) -> Fetched:
        import json

        form = parse_qs(given.get("body", b"").decode())
        self.asked.append((method, url, form, dict(given["headers"])))
        if self.gate is not None:
            await self.gate.wait()
        if method == "GET":
            return Fetched(200, Headers(), json.dumps(self.metadata).encode())
        answer: dict[str, Any] = {
            "access_token": f"issued-{len(self.asked)}",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "token_type": "Bearer",
            "expires_in": 3600,
            **self.more,
        }
        answer = {name: value for name, value in answer.items() if value is not None}
        return Fetched(self.status, Headers(), json.dumps(answer).encode())


def at_issuer(house: House, issuer: Issuer, *scopes: str, endpoint: str = f"{ISSUER}/token") -> AtIssuer:
    client = Client(ISSUER, "edge node", Secret("s3cr:et"), endpoint)
    return AtIssuer(client, TARGET, frozenset(scopes), PRODUCTION, issuer, house.clock)


async def test_the_issuer_exchanges_its_own_token(house: House) -> None:
    """OAUTH-07, RFC 8693 section 2.1"""
    maker = at_issuer(house, issuer := Issuer(), "a", "z")
    fields = dict(await maker(ALICE, SHOWN, REQUEST))
    assert fields[b"authorization"] == b"Bearer issued-1"
    ((method, url, form, headers),) = issuer.asked
    assert (method, url) == ("POST", f"{ISSUER}/token")
    assert form["subject_token"] == ["mine"]
    assert (form["audience"], form["resource"], form["scope"]) == ([TARGET], [TARGET], ["a"])
    assert form["grant_type"] == ["urn:ietf:params:oauth:grant-type:token-exchange"]
    assert headers[b"authorization"] == b"Basic ZWRnZStub2RlOnMzY3IlM0FldA=="
    await maker(ALICE, SHOWN, REQUEST)
    assert len(issuer.asked) == 1
    house.now_s += 160  # the issuer's hour is not ours: five minutes at most
    await maker(ALICE, SHOWN, REQUEST)
    assert len(issuer.asked) == 2


@pytest.mark.parametrize(
    ("caller", "headers"),
    [
        (Caller("alice", "https://other.example", "jwt"), SHOWN),
        (Caller("ci", "mantlet:api-key", "api_key"), SHOWN),
        (ALICE, Headers([(b"x-api-key", b"mine")])),
        (ALICE, Headers([(b"authorization", b"DPoP mine")])),
        (ALICE, Headers()),
        (Caller("alice", ISSUER, "jwt", binding=Binding(jkt="x")), SHOWN),
        (NODE, Headers()),
    ],
)
async def test_no_token_goes_to_anybody_but_its_issuer(house: House, caller: Caller, headers: Headers) -> None:
    """FWD-01, OAUTH-02"""
    maker = at_issuer(house, issuer := Issuer())
    with pytest.raises(Denied):
        await maker(caller, headers, REQUEST)
    assert issuer.asked == []


async def test_who_has_none_of_the_scopes_is_not_asked_for(house: House) -> None:
    maker = at_issuer(house, issuer := Issuer(), "z")
    with pytest.raises(Denied):
        await maker(ALICE, SHOWN, REQUEST)
    assert issuer.asked == []


def issued(**claims: Any) -> str:
    return pyjwt.encode({"aud": TARGET, **claims}, "k" * 32, "HS256")


@pytest.mark.parametrize(
    "more",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": "a b"},
        {"access_token": "a\r\nb"},
        {"access_token": 1},
        {"token_type": "DPoP"},
        {"token_type": "N_A"},
        {"token_type": None},
        {"issued_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"issued_token_type": None},
        {"expires_in": None},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": "3600"},
        {"expires_in": True},
        {"scope": "a b"},
        {"scope": "admin"},
        {"scope": 1},
        {"access_token": issued(aud="https://other.example")},
        {"access_token": issued(aud=[TARGET, "https://other.example"])},
        {"access_token": issued(scope="a b")},
        {"access_token": issued(scope="admin")},
    ],
    ids=lambda more: str(more)[:60],
)
async def test_more_or_other_than_was_asked_for_is_not_believed(house: House, more: dict[str, Any]) -> None:
    """OAUTH-07: scopes within the caller's and the policy's, one audience, a bearer access token with an end."""
    issuer = Issuer()
    issuer.more = more
    with pytest.raises(BadUpstream):
        await at_issuer(house, issuer, "a")(ALICE, SHOWN, REQUEST)


@pytest.mark.parametrize(
    "more", [{}, {"scope": "a"}, {"access_token": issued(scope="a")}, {"access_token": issued(aud=[TARGET])}]
)
async def test_as_much_or_less_is(house: House, more: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.more = more
    assert await at_issuer(house, issuer, "a")(ALICE, SHOWN, REQUEST)


@pytest.mark.parametrize(
    ("status", "error", "refusal"),
    [
        (400, "invalid_target", Denied),
        (400, "invalid_scope", Denied),
        (400, "invalid_request", Denied),
        (403, "access_denied", Denied),
        (400, "invalid_client", BadUpstream),
        (401, "invalid_client", BadUpstream),
        (500, None, BadUpstream),
        (302, None, BadUpstream),
    ],
)
async def test_the_issuers_no_is_the_callers_or_the_nodes(house: House, status: int, error: Any, refusal: Any) -> None:
    """OAUTH-07"""
    issuer = Issuer()
    issuer.status, issuer.more = status, {"error": error}
    with pytest.raises(refusal) as caught:
        await at_issuer(house, issuer)(ALICE, SHOWN, REQUEST)
    assert caught.type is refusal


async def test_the_endpoint_is_found_once_and_on_the_issuers_own_host(house: House) -> None:
    """OAUTH-02"""
    maker = at_issuer(house, issuer := Issuer(), endpoint="")
    await maker(ALICE, SHOWN, REQUEST)
    assert [url for _, url, *_ in issuer.asked] == [
        f"{ISSUER}/.well-known/oauth-authorization-server",
        f"{ISSUER}/token",
    ]


@pytest.mark.parametrize(
    "metadata",
    [
        {"issuer": "https://evil.example", "token_endpoint": f"{ISSUER}/token"},
        {"issuer": ISSUER, "token_endpoint": "https://evil.example/token"},
        {"issuer": ISSUER, "token_endpoint": "http://idp.example/token"},
        {"issuer": ISSUER, "token_endpoint": f"{ISSUER}:8443/token"},
        {"issuer": ISSUER},
        {"issuer": f"{ISSUER}/", "token_endpoint": f"{ISSUER}/token"},
        {},
    ],
)
async def test_a_secret_goes_only_where_the_operator_said(house: House, metadata: dict[str, Any]) -> None:
    """OAUTH-02"""
    issuer = Issuer()
    issuer.metadata = metadata
    with pytest.raises(BadUpstream):
        await at_issuer(house, issuer, endpoint="")(ALICE, SHOWN, REQUEST)
    assert [method for method, *_ in issuer.asked] == ["GET"]


async def test_many_calls_with_one_token_ask_once(house: House) -> None:
    maker = at_issuer(house, issuer := Issuer())
    issuer.gate = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        calls = [group.create_task(maker(ALICE, SHOWN, REQUEST)) for _ in range(4)]
        leaver = group.create_task(maker(ALICE, SHOWN, REQUEST))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaver.cancel()
        issuer.gate.set()
    assert len({tuple(call.result()) for call in calls}) == 1
    assert len(issuer.asked) == 1


# --- settings ---------------------------------------------------------------------------------------------------------


class Settings:
    def __init__(self, mode: Any, **more: Any) -> None:
        self.name = "one"
        self.forward_identity = mode
        self.headers = more.get("headers", {})
        self.tls = more.get("tls", TlsConfig())
        self.exchange = more.get("exchange")
        self.encrypt = more.get("encrypt")
        self.user = more.get("user")


AUTHORIZATION = {"Authorization": Secret("Bearer x")}


@pytest.mark.parametrize(
    "settings",
    [
        Settings("static"),
        Settings("exchange", headers=AUTHORIZATION),
        Settings("encrypt", headers={"AUTHORIZATION": Secret("x")}),
        Settings("passthrough", headers=AUTHORIZATION),
        Settings("none", exchange=ExchangeConfig()),
        Settings(None, encrypt=EncryptConfig()),
        Settings("exchange", encrypt=EncryptConfig()),
        Settings("user"),
        Settings("exchange", user=UserConfig(issuer=ISSUER)),
        Settings("user", user=UserConfig(issuer=ISSUER), headers=AUTHORIZATION),
    ],
)
def test_settings_that_do_not_fit_together(settings: Settings) -> None:
    with pytest.raises(ValueError, match=r"forward_identity|exchange|encrypt|user"):
        check_identity(settings)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(None, headers=AUTHORIZATION),
        Settings("static", headers=AUTHORIZATION),
        Settings("static", tls=TlsConfig(client_cert_file="c", client_key_file="k")),
        Settings("exchange", headers={"X-API-Key": Secret("x")}, exchange=ExchangeConfig()),
        Settings("encrypt", encrypt=EncryptConfig()),
        Settings("user", user=UserConfig(issuer=ISSUER)),
    ],
)
def test_settings_that_do(settings: Settings) -> None:
    check_identity(settings)


@pytest.mark.parametrize(
    "given",
    [
        {"client_secret_file": "x"},
        {"client_id": "x", "client_secret_file": "x", "private_key_file": "x"},
        {"authorization_endpoint": "https://x"},
        {"parameters": {"redirect_uri": "https://evil.example"}},
        {"parameters": {"state": "x"}},
    ],
)
def test_a_grant_needs_a_client_that_is_one(given: dict[str, Any]) -> None:
    """OAUTH-03: what binds a flow is the node's to say."""
    with pytest.raises(ValueError, match="user"):
        UserConfig(issuer=ISSUER, **given)


@pytest.mark.parametrize(
    "given",
    [
        {"client_id": "x"},
        {"token_endpoint": "https://x"},
        {"issuer": ISSUER},
        {"issuer": ISSUER, "client_id": "x"},
        {"issuer": ISSUER, "client_secret_file": "x"},
    ],
)
def test_an_issuer_needs_a_client(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="exchange"):
        ExchangeConfig(**given)
