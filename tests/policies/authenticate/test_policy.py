import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from mantlet.core.api_key import ApiKeyRecord, hash_of
from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.clock import Clock
from mantlet.core.headers import Headers
from mantlet.core.record import Trail
from mantlet.core.refusal import (
    AmbiguousCredentials,
    InvalidCredential,
    RateLimited,
    Refusal,
    StoreUnavailable,
    Unauthenticated,
)
from mantlet.core.secret import Secret
from mantlet.keys.api_keys import make_api_key
from mantlet.keys.files import read_secret
from mantlet.keys.ring import open_ring
from mantlet.keys.signing import KeyPair, make_signing_key
from mantlet.keys.tokens import issue
from mantlet.policies.authenticate import verified
from mantlet.policies.authenticate.config import (
    ApiKeyConfig,
    AuthConfig,
    FailuresConfig,
    JwtConfig,
    MockConfig,
    MockToken,
)
from mantlet.policies.authenticate.opening import open_authenticate
from mantlet.policies.authenticate.policy import Authenticate
from mantlet.stores.sql.api_keys import ApiKeys
from mantlet.stores.sql.changes import Changes
from mantlet.stores.sql.config import DatabaseConfig
from mantlet.stores.sql.database import Database
from mantlet.stores.sql.opening import open_database
from mantlet.wire.answer import refused

URL = "https://node.example"
NOW = 1_700_000_000.0
PEPPER = b"pepper-of-the-node-32-bytes-long"
BOOTSTRAP = "q8Zr2mXw0Lk7Vt4Nc9Yb1Hd6Jf3Gs5Pa8Ue2Io7Wx0Q"


class Hands:
    """A clock that is turned by hand."""

    def __init__(self) -> None:
        self.passed_s = 0.0
        self.clock = Clock(lambda: 50.0 + self.passed_s, lambda: NOW + self.passed_s)


class Onward:
    def __init__(self) -> None:
        self.reached: list[Caller | None] = []

    async def __call__(self, arrival: Arrival, /) -> Reply:
        self.reached.append(arrival.caller)
        return Reply(200, [], b"")


class Counted:
    """A key ring that counts what costs."""

    def __init__(self, ring: Any) -> None:
        self.ring, self.checks = ring, 0

    def check(self, jws: Any, /) -> object:
        self.checks += 1
        return self.ring.check(jws)

    def names(self) -> Any:
        return self.ring.names()


class Node:
    """The policy as a node has it, with all its parts."""

    def __init__(self, database: Database, pair: KeyPair, key_file: str) -> None:
        self.hands = Hands()
        self.pair = pair
        self.changes = Changes(database, self.hands.clock.monotonic)
        self.store = ApiKeys(database, self.changes)
        self.ring = Counted(open_ring(key_file=key_file, algorithms=["EdDSA"]))
        self.onward = Onward()
        self.policy = self.opened()

    def opened(self, **more: Any) -> Authenticate:
        config = AuthConfig(
            api_keys=(ApiKeyConfig(name="ci", key=Secret(BOOTSTRAP), roles=("admin",)),),
            jwt=JwtConfig(key_file="k"),
            failures=FailuresConfig(per_address=5, per_credential=8, window=60),
            mock=MockConfig(tokens=more.pop("mock", {})),
        )
        given: dict[str, Any] = {
            "environment": "production",
            "clock": self.hands.clock,
            "pepper": PEPPER,
            "read_secret": read_secret,
            "keys": self.ring,
            "store": self.store,
            "public_url": URL,
            "published": ("/mcp", "/mcp/one"),
        }
        policy = open_authenticate(config, **(given | more))
        assert isinstance(policy, Authenticate)
        return policy

    def token(self, **more: Any) -> str:
        asked: dict[str, Any] = {"issuer": URL, "audience": f"{URL}/mcp", "subject": "ann", "now_s": NOW}
        return issue(self.pair, **(asked | {"environment": "production"} | more)).token

    async def api_key(self, **more: Any) -> tuple[str, str]:
        key_id, key = make_api_key()
        await self.store.create(ApiKeyRecord(key_id, hash_of(key.reveal().encode(), PEPPER), "bob", **more))
        return key_id, key.reveal()

    async def send(self, credential: str | bytes, peer: str = "192.0.2.1", header: bytes = b"") -> Caller:
        raw = credential if isinstance(credential, bytes) else credential.encode()
        field = (header, raw) if header else (b"authorization", b"Bearer " + raw)
        return await self.pass_on(arrival([field], peer=peer))

    async def pass_on(self, item: Arrival) -> Caller:
        before = len(self.onward.reached)
        try:
            await self.policy(item, self.onward)
        except Refusal:
            assert len(self.onward.reached) == before, "nothing goes on that was refused"
            assert item.caller is None
            raise
        caller = self.onward.reached[-1]
        assert caller is not None
        return caller


def arrival(
    fields: list[tuple[bytes, bytes]], *, peer: str = "192.0.2.1", path: str = "/mcp", query: bytes = b""
) -> Arrival:
    async def read() -> bytes:
        raise AssertionError("the body is not read before the caller is known")

    return Arrival("POST", path, query, Headers(fields), peer, read, 0.0, Trail("r", "http", peer, NOW))


@pytest.fixture(scope="module")
def signing(tmp_path_factory: pytest.TempPathFactory) -> tuple[KeyPair, str]:
    file = tmp_path_factory.mktemp("keys") / "sign.pem"
    return make_signing_key(file), str(file)


@pytest.fixture
async def node(tmp_path: Path, signing: tuple[KeyPair, str]) -> Any:
    async with open_database(DatabaseConfig(url=f"sqlite:///{tmp_path}/mantlet.db")) as database:
        yield Node(database, *signing)


async def test_each_kind_of_credential_becomes_its_caller(node: Node) -> None:
    key_id, key = await node.api_key(tenant="t", roles=frozenset({"user"}))
    item = arrival([(b"x-api-key", key.encode())])
    assert (await node.pass_on(item)).key == ("t", "mantlet:api-key", "bob")
    assert (item.trail.principal, item.trail.tenant) == ("t/mantlet:api-key/bob", "t")
    assert (item.trail.credential, item.trail.authentication) == (key_id, "api_key")
    assert (await node.send(key)).credential_id == key_id
    assert (await node.send(BOOTSTRAP, header=b"x-api-key")).roles == {"admin"}
    assert (await node.send(node.token())).key == ("default", URL, "ann")


async def test_no_credential_is_no_caller(node: Node) -> None:
    """AUTHN-01, AUTHN-02, AUTHN-04"""
    item = arrival([])
    with pytest.raises(Unauthenticated) as caught:
        await node.pass_on(item)
    answer = refused(caught.value, item.trail, challenge=node.policy.challenge(item))
    metadata = "https://node.example/.well-known/oauth-protected-resource/mcp"
    assert answer.status == 401
    assert answer.header(b"www-authenticate") == f'Bearer realm="mantlet", resource_metadata="{metadata}"'.encode()
    with pytest.raises(InvalidCredential) as bad:
        await node.send("x" * 40)
    answer = refused(bad.value, item.trail, challenge=node.policy.challenge(item))
    assert (answer.header(b"www-authenticate") or b"").endswith(b', error="invalid_token"')


METADATA = "https://node.example/.well-known/oauth-protected-resource"


@pytest.mark.parametrize(
    ("path", "document"),
    [
        ("/mcp", "/mcp"),
        ("/mcp/one", "/mcp/one"),
        ("/mcp/two", "/mcp"),
        ("/mcp/", "/mcp"),
        ("/MCP", "/mcp"),
        ("/", "/mcp"),
        ("", "/mcp"),
        ('/mcp"\r\nx: y', "/mcp"),
        ("/\ud800", "/mcp"),
        ("/" + "a" * 5000, "/mcp"),
    ],
)
def test_a_challenge_names_only_metadata_that_is_served(node: Node, path: str, document: str) -> None:
    """AUTHN-04"""
    text = node.policy.challenge(arrival([], path=path))
    assert text == f'Bearer realm="mantlet", resource_metadata="{METADATA}{document}"'


def test_the_admin_door_has_no_metadata_to_name(node: Node) -> None:
    """AUTHN-04"""
    item = arrival([], path="/mcp")
    item.trail.door = "admin"
    assert node.policy.challenge(item) == 'Bearer realm="mantlet"'


def test_a_challenge_keeps_the_path_that_the_node_has_outside(node: Node) -> None:
    """AUTHN-04: RFC 9728 section 3.1."""
    policy = node.opened(public_url="https://node.example/base/")
    assert policy.challenge(arrival([], path="/mcp/one")).endswith(f'="{METADATA}/base/mcp/one"')


@pytest.mark.parametrize("more", [{"public_url": "", "published": ("/mcp",)}, {"published": ()}])
def test_where_nothing_is_published_nothing_is_named(node: Node, more: dict[str, Any]) -> None:
    """AUTHN-04"""
    config = AuthConfig(api_keys=(ApiKeyConfig(name="ci", key=Secret(BOOTSTRAP), roles=("admin",)),))
    given: dict[str, Any] = {"environment": "production", "clock": node.hands.clock, "pepper": PEPPER}
    policy = open_authenticate(config, **given, read_secret=read_secret, **({"public_url": URL} | more))
    assert policy.challenge(arrival([])) == 'Bearer realm="mantlet"'


def b64(value: object) -> str:
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def header_changed(**more: Any) -> Callable[[Node], str]:
    """A token that is signed with the right key, over a header with `more`."""

    def forge(node: Node) -> str:
        claims = node.token().split(".")[1]
        header = b64({"alg": "EdDSA", "typ": "at+jwt", "kid": node.pair.kid} | more)
        signature = node.pair.private.sign(f"{header}.{claims}".encode())
        return f"{header}.{claims}.{b64(signature)}"

    return forge


def claims_changed(**more: Any) -> Callable[[Node], str]:
    """A token that is signed with the right key, over other claims."""

    def forge(node: Node) -> str:
        claims = json.loads(base64.urlsafe_b64decode(node.token().split(".")[1] + "=="))
        claims = {name: value for name, value in (claims | more).items() if value is not ...}
        return jwt.encode(claims, node.pair.private, "EdDSA", {"typ": "at+jwt", "kid": node.pair.kid})

    return forge


def unsigned(node: Node) -> str:
    return f"{b64({'alg': 'none', 'typ': 'at+jwt'})}.{node.token().split('.')[1]}."


def none_with_signature(node: Node) -> str:
    return f"{b64({'alg': 'none', 'typ': 'at+jwt'})}.{node.token().split('.')[1]}.AA"


def confused(node: Node) -> str:
    signed = f"{b64({'alg': 'HS256', 'typ': 'at+jwt', 'kid': node.pair.kid})}.{node.token().split('.')[1]}"
    secret = node.pair.public.public_bytes_raw()
    return f"{signed}.{b64(hmac.digest(secret, signed.encode(), hashlib.sha256))}"


def by_another_key(node: Node) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    claims = json.loads(base64.urlsafe_b64decode(node.token().split(".")[1] + "=="))
    return jwt.encode(claims, key, "ES256", {"typ": "at+jwt", "kid": node.pair.kid})


def as_json(node: Node) -> str:
    header, claims, signature = node.token().split(".")
    return json.dumps({"protected": header, "payload": claims, "signature": signature}, separators=(",", ":"))


FORGED: dict[str, Callable[[Node], str]] = {
    "none": unsigned,
    "none with a signature": none_with_signature,
    "None": header_changed(alg="None"),
    "HS with the public key": confused,
    "another key with our kid": by_another_key,
    "unknown kid": header_changed(kid="other"),
    "kid is a path": header_changed(kid="../../../dev/null"),
    "kid is SQL": header_changed(kid="' UNION SELECT 'key' --"),
    "jku": header_changed(jku="https://evil.example/jwks.json"),
    "x5u": header_changed(x5u="https://evil.example/x"),
    "jwk": header_changed(jwk={"kty": "OKP", "crv": "Ed25519", "x": "AA"}),
    "x5c": header_changed(x5c=["MII"]),
    "crit": header_changed(crit=["urn:x"], **{"urn:x": 1}),
    "b64": header_changed(b64=False, crit=["b64"]),
    "zip": header_changed(zip="DEF"),
    "typ JWT": header_changed(typ="JWT"),
    "typ logout": header_changed(typ="logout+jwt"),
    "typ dpop": header_changed(typ="dpop+jwt"),
    "other issuer": claims_changed(iss="https://evil.example"),
    "no issuer": claims_changed(iss=...),
    "other audience": claims_changed(aud="https://other.example/mcp"),
    "audience prefix": claims_changed(aud=f"{URL}/mcp.evil.example"),
    "no audience": claims_changed(aud=...),
    "expired": claims_changed(iat=NOW - 100, exp=NOW - 11),
    "no expiry": claims_changed(exp=...),
    "future": claims_changed(nbf=NOW + 100),
    "no nbf": claims_changed(nbf=...),
    "issued tomorrow": claims_changed(iat=NOW + 86_400, exp=NOW + 86_500),
    "for ever": claims_changed(exp=NOW + 10**9),
    "no subject": claims_changed(sub=...),
    "roles as text": claims_changed(roles="admin"),
    "bound to a key": claims_changed(cnf={"jkt": "x"}),
    "of another environment": claims_changed(env="development"),
    "changed signature": lambda node: node.token()[:-4] + "AAAA",
    "changed claims": lambda node: node.token().replace(".ey", ".eyJ4IjoxLCJ5IjoxfQ", 1),
    "no signature": lambda node: node.token().rpartition(".")[0] + ".",
    "two parts": lambda node: node.token().rpartition(".")[0],
    "five parts": lambda node: node.token() + ".AA.AA",
    "padded": lambda node: node.token() + "==",
    "too long": claims_changed(pad="x" * 13_000),
}


@pytest.mark.parametrize("name", FORGED)
async def test_forged_tokens_are_refused_alike(node: Node, name: str) -> None:
    """TOK-01 to TOK-05, TOK-08: one body for all, and the record has nothing of the token."""
    token = FORGED[name](node)
    item = arrival([(b"authorization", b"Bearer " + token.encode())])
    with pytest.raises(InvalidCredential) as caught:
        await node.pass_on(item)
    assert caught.value.detail == InvalidCredential("").detail
    assert not any(part and part in f"{caught.value.why}{item.trail}" for part in token.split(".") if len(part) > 8)
    # The good twin goes through, so it was the forgery that was refused.
    assert (await node.send(node.token())).subject == "ann"


@pytest.mark.parametrize("text", ["tök€n", "\u0435yJhbGciOiJub25lIn0.e30.AA", "e\uff39J.e30.AA", "a\u200bb" * 20])
async def test_text_beyond_ascii_is_refused(node: Node, text: str) -> None:
    """TOK-08"""
    for form in (text.encode(), as_json(node).encode()):
        with pytest.raises((InvalidCredential, AmbiguousCredentials)):
            await node.send(form)


async def test_a_known_token_is_not_verified_again(node: Node) -> None:
    token = node.token()
    for _ in range(5):
        await node.send(token)
    assert node.ring.checks == 1


async def test_a_known_token_dies_with_its_expiry(node: Node) -> None:
    """TOK-09, AUTHN-06: exp is looked at on each hit."""
    token = node.token(life_s=30)
    caller = await node.send(token)
    assert node.policy.is_current(caller)
    node.hands.passed_s = 30
    assert not node.policy.is_current(caller)
    node.hands.passed_s = 40
    with pytest.raises(InvalidCredential):
        await node.send(token)


async def test_a_known_token_vouches_for_itself_alone(node: Node) -> None:
    """TOK-09: CVE-2026-35030, a cache keyed by the first characters."""
    token = node.token()
    await node.send(token)
    for twin in (token[:-4] + "AAAA", token[:200] + "A" + token[201:], token + "A", token[:-1]):
        with pytest.raises(InvalidCredential):
            await node.send(twin, peer=str(hash(twin)))
    assert (await node.send(token)).subject == "ann"


async def test_two_configurations_share_nothing(node: Node) -> None:
    """TOK-09: the cache belongs to one configuration."""
    token = node.token()
    await node.send(token)
    node.policy = node.opened(public_url="https://other.example")
    with pytest.raises(InvalidCredential):
        await node.send(token)


async def test_a_failure_is_remembered_for_a_moment_only(node: Node) -> None:
    """TOK-09"""
    bad = node.token()[:-4] + "AAAA"
    for _ in range(3):
        with pytest.raises(InvalidCredential):
            await node.send(bad)
    assert node.ring.checks == 1
    early = node.token(now_s=NOW + 12)
    with pytest.raises(InvalidCredential):
        await node.send(early)
    node.hands.passed_s = verified.REFUSED_S
    assert (await node.send(early)).subject == "ann"
    assert verified.REFUSED_S <= 5


async def test_tables_are_bounded(node: Node) -> None:
    table = verified.Verified(node.hands.clock, max_verified=5, max_refused=5)
    for number in range(50):
        table.keep(b"%d" % number, Caller("a", "b", "c"), fresh_s=9, leeway_s=0)
        table.refuse(b"%d" % number, "why")
    assert len(table) == 10
    assert table.caller(b"49") is not None
    assert table.caller(b"1") is None


async def test_a_revoked_key_is_refused_within_five_seconds(node: Node, tmp_path: Path) -> None:
    """AUTHN-06, TOK-10: revoked by another process, with every cache warm."""
    key_id, key = await node.api_key()
    caller = await node.send(key)
    assert node.policy.is_current(caller)
    async with open_database(DatabaseConfig(url=f"sqlite:///{tmp_path}/mantlet.db")) as other:
        await ApiKeys(other, Changes(other, node.hands.clock.monotonic)).revoke(key_id, NOW)
    node.hands.passed_s = 0.9
    await node.send(key)  # warms what may be warmed as late as possible
    await node.changes.look()
    node.hands.passed_s = 2.0
    with pytest.raises(InvalidCredential):
        await node.send(key)
    assert not node.policy.is_current(caller)


async def test_an_expired_key_is_refused_at_its_instant(node: Node) -> None:
    """AUTHN-05"""
    _, key = await node.api_key(expires_at_s=NOW + 0.5)
    await node.send(key)
    node.hands.passed_s = 0.5
    with pytest.raises(InvalidCredential):
        await node.send(key)


async def test_a_use_is_noted_for_later(node: Node) -> None:
    _, key = await node.api_key()
    await node.send(key)
    await node.store.flush()
    assert (await node.store.list())[0].last_used_at_s == NOW


async def test_a_stored_hash_is_no_key(node: Node) -> None:
    """AUTHN-05: pass-the-hash, alone and inside a well-formed key."""
    key_id, _ = await node.api_key()
    stored = (await node.store.list())[0].hash
    for forged in (stored, f"mk_{key_id}_{stored[:43]}", f"mk_{key_id}_{stored}", hash_of(BOOTSTRAP.encode(), PEPPER)):
        with pytest.raises(InvalidCredential) as caught:
            await node.send(forged, peer=forged)
        assert caught.value.detail == InvalidCredential("").detail


async def test_odd_keys_get_one_answer_and_never_reach_the_database(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """AUTHN-05: injection, wrong secret, unknown id."""
    key_id, key = await node.api_key()
    asked: list[str] = []
    find = node.store.find

    async def counted(given: str) -> ApiKeyRecord | None:
        asked.append(given)
        return await find(given)

    monkeypatch.setattr(node.store, "find", counted)
    odd = (key[:-1] + "~", f"mk_{key_id}", "mk_" + "a" * 12 + "_" + "b" * 43, "mk_'OR'1'='1_x", "mk_a;DROP_x")
    for number, text in enumerate(odd):
        for header in (b"", b"x-api-key"):
            with pytest.raises(InvalidCredential) as caught:
                await node.send(text, peer=f"192.0.2.{number}", header=header)
            assert caught.value.detail == InvalidCredential("").detail
    assert set(asked) == {"a" * 12}


async def test_a_store_that_fails_refuses_and_is_not_remembered(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    _, key = await node.api_key()

    async def fail(key_id: str) -> None:
        raise StoreUnavailable(why="disk")

    with monkeypatch.context() as broken:
        broken.setattr(node.store, "find", fail)
        with pytest.raises(StoreUnavailable):
            await node.send(key)
        assert (await node.send(BOOTSTRAP)).subject == "ci", "the config's own keys need no store"
    assert (await node.send(key)).subject == "bob"


async def test_a_guessing_address_is_slowed_before_any_signature(node: Node) -> None:
    """AUTHN-07: good known tokens and good keys still get in from there, and all else from elsewhere."""
    known, key = node.token(), (await node.api_key())[1]
    await node.send(known)
    for number in range(5):
        with pytest.raises(InvalidCredential):
            await node.send(node.token(subject=f"s{number}")[:-4] + "AAAA")
    checks = node.ring.checks
    with pytest.raises(RateLimited) as caught:
        await node.send(node.token(subject="new")[:-4] + "AAAA")
    assert caught.value.retry_after_s == 12
    assert node.ring.checks == checks
    assert (await node.send(known)).subject == "ann"
    assert (await node.send(key)).subject == "bob"
    assert (await node.send(node.token(subject="eve"), peer="192.0.2.2")).subject == "eve"
    node.hands.passed_s = 12.5
    assert (await node.send(node.token(subject="new"))).subject == "new"


async def test_a_guessed_key_is_limited_and_its_owner_is_not(node: Node) -> None:
    """AUTHN-07: from many addresses, against one public id."""
    key_id, key = await node.api_key()
    for number in range(8):
        with pytest.raises(InvalidCredential):
            await node.send(f"mk_{key_id}_{number:043d}", peer=f"192.0.2.{number}")
    item = arrival([(b"authorization", f"Bearer mk_{key_id}_{'x' * 43}".encode())], peer="192.0.2.99")
    with pytest.raises(RateLimited):
        await node.pass_on(item)
    assert item.trail.credential == key_id
    assert (await node.send(key, peer="192.0.2.99")).subject == "bob"


async def test_two_credentials_are_refused(node: Node) -> None:
    """AUTHN-02"""
    good = (b"authorization", b"Bearer " + node.token().encode())
    for fields, query in (
        ([good, (b"x-api-key", BOOTSTRAP.encode())], b""),
        ([good, good], b""),
        ([good], b"access_token=x"),
    ):
        with pytest.raises(AmbiguousCredentials):
            await node.pass_on(arrival(fields, query=query))


async def test_equal_subjects_of_two_issuers_are_two_principals(node: Node) -> None:
    """AUTHN-09"""
    by_token = await node.send(node.token(subject="ci"))
    by_key = await node.send(BOOTSTRAP)
    assert by_token.subject == by_key.subject
    assert by_token.key != by_key.key


async def test_many_at_once_are_kept_apart(node: Node) -> None:
    tokens = [node.token(subject=f"s{number}") for number in range(50)]
    items = [arrival([(b"authorization", f"Bearer {tokens[turn % 50]}".encode())]) for turn in range(500)]
    await asyncio.gather(*(node.policy(item, node.onward) for item in items))
    assert [item.caller and item.caller.subject for item in items] == [f"s{turn % 50}" for turn in range(500)]


async def test_mock_tokens_stand_for_whom_they_name(node: Node) -> None:
    node.policy = node.opened(mock={"ann-token": MockToken(subject="ann", roles=("user",))}, environment="development")
    caller = await node.send("ann-token")
    assert (caller.subject, caller.method, caller.issuer) == ("ann", "mock", "mantlet:mock")
    with pytest.raises(InvalidCredential):
        await node.send("bob-token")


async def test_everybody_is_the_developer_only_where_authentication_is_off(node: Node) -> None:
    off = open_authenticate(
        AuthConfig(enabled=False),
        environment="development",
        clock=node.hands.clock,
        pepper=b"",
        read_secret=read_secret,
    )
    item = arrival([])
    await off(item, node.onward)
    assert item.caller is not None
    assert (item.caller.method, item.trail.authentication) == ("disabled", "disabled")
    assert item.trail.principal == "default/mantlet:disabled/developer"
    assert not node.policy.is_current(item.caller), "never valid on a node that authenticates"
