"""Tokens of foreign issuers, against a stub of one; the real one is in tests/node/identity/test_issuers.py."""

import asyncio
import base64
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from tests.policies.authenticate.issuers.stub import MCP, NOW, URL, House, Key, StubIdp, answer, b64, make_key

from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import InsufficientScope, InvalidCredential, IssuerUnavailable, RateLimited
from mantlet.policies.authenticate.issuers.kept import MAX_WAITING
from mantlet.wire.answer import refused


def raw(header: Any, claims: Any, signature: bytes = b"s") -> str:
    return ".".join((b64(json.dumps(header).encode()), b64(json.dumps(claims).encode()), b64(signature)))


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519"])
async def test_a_token_of_each_algorithm_is_taken(algorithm: str) -> None:
    idp = StubIdp(algorithm=algorithm)
    house = House([idp])
    caller = await house.come(idp.token())
    assert caller.key == ("default", idp.issuer, "alice")
    assert (caller.scopes, caller.roles, caller.kind) == (frozenset({"mcp:read"}), frozenset(), "user")


async def test_nothing_is_asked_at_start() -> None:
    """OAUTH-02: an issuer that is down does not keep the node down; its tokens are answered 503 until it is up."""
    idp = StubIdp()
    idp.down = True
    house = House([idp])
    assert not idp.asked
    with pytest.raises(IssuerUnavailable):
        await house.come(idp.token())
    asked = idp.asked.total()
    with pytest.raises(IssuerUnavailable):  # the clockwork tries again, not the calls
        await house.come(idp.token())
    assert idp.asked.total() == asked
    idp.down = False
    assert await house.kept.refresh() == 600
    assert (await house.come(idp.token())).subject == "alice"
    assert [event for _, event, _ in house.told] == ["issuer.failed", "issuer.recovered"]


async def test_all_who_come_first_wait_for_one_fetch() -> None:
    """TOK-07: single flight, with a bound on who waits; one that leaves takes the fetch from nobody."""
    idp = StubIdp()
    idp.gate = asyncio.Event()
    house = House([idp])
    tokens = [idp.token(jti=str(n)) for n in range(50)]
    coming = [asyncio.ensure_future(house.come(token)) for token in tokens]
    await asyncio.sleep(0)
    coming[0].cancel()
    await asyncio.sleep(0)
    idp.gate.set()
    found = await asyncio.gather(*coming, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert {one.subject for one in found[1:]} == {"alice"}  # type: ignore[union-attr]
    assert idp.asked["/jwks"] == 1


async def test_waiters_have_a_bound() -> None:
    """TOK-07, API10"""
    idp = StubIdp()
    idp.gate = asyncio.Event()
    house = House([idp], failures=10_000)
    coming = [asyncio.ensure_future(house.come(idp.token(jti=str(n)))) for n in range(MAX_WAITING + 5)]
    for _ in range(3):
        await asyncio.sleep(0)
    turned_away = [one for one in coming if one.done()]
    assert len(turned_away) == 5
    idp.gate.set()
    await asyncio.gather(*coming, return_exceptions=True)


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        ({"aud": "https://other.example/mcp"}, {}),
        ({"aud": None}, {}),
        ({"aud": []}, {}),
        ({"aud": [MCP, 7]}, {}),
        ({"aud": f"{MCP}/"}, {}),
        ({"aud": MCP.upper()}, {}),
        ({"aud": "https://node.example"}, {}),
        ({"iss": "https://idp.example/"}, {}),
        ({"iss": "https://IDP.example"}, {}),
        ({"iss": "https://other.example"}, {}),
        ({"iss": None}, {}),
        ({"iss": ["https://idp.example"]}, {}),
        ({"exp": int(NOW) - 60}, {}),
        ({"exp": None}, {}),
        ({"exp": True}, {}),
        ({"exp": "9999999999"}, {}),
        ({"iat": None}, {}),
        ({"iat": int(NOW) + 60}, {}),
        ({"nbf": int(NOW) + 60}, {}),
        ({"exp": int(NOW) + 3601}, {}),
        ({"sub": None}, {}),
        ({"sub": ""}, {}),
        ({"sub": 7}, {}),
        ({"sub": "a\nb"}, {}),
        ({"scope": 7}, {}),
        ({"scope": [["x"]]}, {}),
        ({}, {"typ": "JWT"}),
        ({}, {"typ": None}),
        ({}, {"typ": "dpop+jwt"}),
        ({}, {"typ": "logout+jwt"}),
        ({}, {"typ": "application/id_token+jwt"}),
        ({}, {"crit": ["exp"]}),
        ({}, {"crit": []}),
        ({}, {"b64": False}),
        ({}, {"zip": "DEF"}),
        ({}, {"jku": "https://evil.example/jwks"}),
        ({}, {"x5u": "https://evil.example/cert"}),
        ({}, {"jwk": {"kty": "EC"}}),
        ({}, {"x5c": ["MII"]}),
        ({}, {"kid": "unknown"}),
        ({}, {"kid": "../k1"}),
        ({}, {"kid": "k1\x00"}),
        ({}, {"kid": "' OR 1=1 --"}),
        ({}, {"kid": 7}),
    ],
    ids=repr,
)
async def test_a_token_that_says_something_else_is_refused(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """TOK-02, TOK-03, TOK-04, TOK-05: 401 invalid_token, and nothing is asked of anybody but the configured issuer."""
    idp = StubIdp()
    house = House([idp])
    with pytest.raises(InvalidCredential):
        await house.come(idp.token(header=header, **claims))
    assert not house.onward.reached
    assert set(idp.asked) <= {"/.well-known/oauth-authorization-server", "/.well-known/openid-configuration", "/jwks"}


async def test_forged_tokens_are_refused() -> None:
    """TOK-01, TOK-08: none, HMAC keyed with the public key in each of its forms, another's key, a changed part."""
    idp = StubIdp(algorithm="RS256")
    house = House([idp])
    good = idp.token()
    assert (await house.come(good)).subject == "alice"
    head, body, signature = good.split(".")
    claims = jwt.decode(good, options={"verify_signature": False})
    public = idp.keys[0].private.public_key()
    forged = [
        raw({"alg": none, "typ": "at+jwt", "kid": "k1"}, claims, b"")[:-1] + end
        for none in ("none", "None", "NONE", "nOnE")
        for end in ("", "AA")
    ]
    forms = [
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo),
        json.dumps(idp.keys[0].jwk).encode(),
        b"",
    ]
    for secret in forms:
        for algorithm, digest in (("HS256", "sha256"), ("HS512", "sha512")):
            unsigned = raw({"alg": algorithm, "typ": "at+jwt", "kid": "k1"}, claims).rpartition(".")[0]
            forged.append(f"{unsigned}.{b64(hmac.digest(secret, unsigned.encode(), digest))}")
    other = Key("k1", "RS256", make_key("RS256"))
    forged.append(idp.token(other))
    forged.append(idp.token(Key("k1", "PS256", idp.keys[0].private)))  # the right key, an algorithm not on the list
    forged.append(idp.token(Key("k1", "RS512", idp.keys[0].private)))
    changed = json.loads(base64.urlsafe_b64decode(body + "=="))
    forged.append(f"{head}.{b64(json.dumps({**changed, 'sub': 'root'}).encode())}.{signature}")
    forged.append(f"{head}.{body}.{signature[:-4]}AAAA")
    forged.append(f"{head}.{body}.")
    forged.append(f"{head}.{body}")
    forged.append(f"{good}.x")
    forged.append(json.dumps({"payload": body, "protected": head, "signature": signature}))
    forged.append(f"{head}.{body}.{signature}=")
    for token in forged:
        with pytest.raises(Exception) as caught:  # a JSON form has characters that no credential has
            await house.come(token)
        reply = refused(caught.value, house.arrival("").trail, challenge="Bearer")  # type: ignore[arg-type]
        assert reply.status in (400, 401), token
        assert reply.status == 401 or token.startswith("{"), token
    assert len(house.onward.reached) == 1


async def test_keys_have_owners() -> None:
    """TOK-06, AUTHN-09: equal kid, another issuer's key: refused. Equal subjects of two issuers are two principals."""
    one, two = StubIdp("https://one.example"), StubIdp("https://two.example")
    house = House([one, two], [{"tenant": "a"}, {"tenant": "b", "audience": "https://two-knows-us-as-this.example"}])
    alice = await house.come(one.token())
    other = await house.come(two.token(aud="https://two-knows-us-as-this.example"))
    assert (alice.key, other.key) == (("a", one.issuer, "alice"), ("b", two.issuer, "alice"))
    for token in (
        one.token(two.keys[0]),
        two.token(one.keys[0], aud="https://two-knows-us-as-this.example"),
        two.token(),  # its audience is its own
        one.token(aud="https://two-knows-us-as-this.example"),
    ):
        with pytest.raises(InvalidCredential):
            await house.come(token)


async def test_new_keys_are_found_and_unknown_ones_cost_little() -> None:
    """TOK-07: a new kid is looked for once in a cooldown; a flood of made-up ones causes no more."""
    idp = StubIdp()
    house = House([idp])
    await house.come(idp.token())
    assert idp.asked["/jwks"] == 1
    stale = idp.token()
    idp.rotate("k2")
    house.passed_s += 31
    assert (await house.come(idp.token(jti="new"))).subject == "alice"
    assert idp.asked["/jwks"] == 2
    for n in range(50):
        with pytest.raises(InvalidCredential):
            await house.come(idp.token(header={"kid": f"k{n + 10}"}))
    assert idp.asked["/jwks"] == 2
    house.passed_s += 31  # and the old key is gone with what it signed, once that is no longer fresh
    with pytest.raises(InvalidCredential):
        await house.come(stale)
    assert idp.asked["/jwks"] == 3


async def test_the_last_keys_serve_until_a_set_age_and_then_nothing_does() -> None:
    """TOK-07: 503, never 200; nor from the table of known tokens."""
    idp = StubIdp()
    house = House([idp], [{"max_key_age": 1000}])
    await house.come(idp.token())
    idp.down = True
    kept = house.kept
    assert [await kept.refresh() for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    house.passed_s = 990
    long = idp.token(exp=int(NOW) + 3000)
    assert (await house.come(long)).subject == "alice"
    house.passed_s = 1000
    with pytest.raises(IssuerUnavailable) as caught:
        await house.come(long)
    reply = refused(caught.value, house.arrival("").trail)
    assert reply.status == 503
    assert reply.header(b"retry-after") == b"1"
    assert b"idp" not in reply.body.replace(b"issuer_unavailable", b"")
    idp.down = False
    await kept.refresh()
    assert (await house.come(long)).subject == "alice"


@pytest.mark.parametrize(
    "change",
    [
        {"issuer": "https://idp.example/"},
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"jwks_uri": "http://idp.example/jwks"},
        {"jwks_uri": "https://user@idp.example/jwks"},
        {"jwks_uri": "file:///etc/passwd"},
        {"jwks_uri": 7},
        {"jwks_uri": ""},
    ],
    ids=repr,
)
async def test_metadata_that_is_not_to_be_believed_closes_the_door(change: dict[str, Any]) -> None:
    """OAUTH-02: the issuer must be identical; https; what is found is told once."""
    idp = StubIdp()
    idp.metadata |= change
    house = House([idp])
    for _ in range(2):
        with pytest.raises(IssuerUnavailable):
            await house.come(idp.token())
    assert [event for _, event, _ in house.told] == ["issuer.failed"]
    assert not idp.asked["/jwks"]


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"{}", b'{"keys": {}}', b'{"keys": []}', b'{"keys": [], "keys": []}', b"<html>",
        b'{"keys": [{"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}]}',
        b'{"keys": [' + b'{"kty": "x"},' * 200 + b'{"kty": "x"}]}',
    ],
    ids=lambda body: body[:30].decode(),
)  # fmt: skip
async def test_key_sets_without_a_key_that_can_be_used(body: bytes) -> None:
    """TOK-01, TOK-07: shared secrets in a published set are none."""
    idp = StubIdp()
    idp.answers["/jwks"] = Fetched(200, Headers(), body)
    with pytest.raises(IssuerUnavailable):
        await House([idp]).come(idp.token())


async def test_keys_of_other_kinds_in_a_set_are_passed_over() -> None:
    """RFC 7517 section 5: they say nothing about the one that is used."""
    idp = StubIdp()
    weak = {"kty": "RSA", "n": b64(b"\xff" * 64), "e": "AQAB", "kid": "weak"}
    strange = {"kty": "AKP", "alg": "ML-DSA-65", "kid": "pq", "pub": "AAAA"}
    enc = {**make_jwk("e1"), "use": "enc"}
    idp.answers["/jwks"] = answer({"keys": [weak, strange, enc, {"kty": "EC", "alg": "ES256"}, idp.keys[0].jwk]})
    assert (await House([idp]).come(idp.token())).subject == "alice"


def make_jwk(kid: str) -> dict[str, str]:
    return Key(kid, "ES256", make_key("ES256")).jwk


async def test_two_keys_with_one_kid_make_a_set_worthless() -> None:
    idp = StubIdp()
    idp.answers["/jwks"] = answer({"keys": [idp.keys[0].jwk, make_jwk("k1")]})
    with pytest.raises(IssuerUnavailable):
        await House([idp]).come(idp.token())


async def test_a_configured_key_set_needs_no_metadata() -> None:
    idp = StubIdp()
    house = House([idp], [{"jwks_url": f"{idp.issuer}/jwks"}])
    await house.come(idp.token())
    assert dict(idp.asked) == {"/jwks": 1}


async def test_scopes_that_every_token_must_have() -> None:
    """AUTHN-04: 403 insufficient_scope names all of them at once; the first challenge names them too."""
    idp = StubIdp()
    house = House([idp], [{"required_scopes": ("mcp:read", "mcp:use")}], failures=3)
    token = idp.token()
    for _ in range(6):  # from memory too, and never as a failed authentication
        with pytest.raises(InsufficientScope) as caught:
            await house.come(token)
    arrival = house.arrival(token, path="/mcp/one")
    reply = refused(caught.value, arrival.trail, challenge=house.policy.challenge(arrival))
    assert reply.status == 403
    metadata = f'resource_metadata="{URL}/.well-known/oauth-protected-resource/mcp/one"'
    expected = f'Bearer realm="mantlet", {metadata}, error="insufficient_scope", scope="mcp:read mcp:use"'
    assert reply.header(b"www-authenticate") == expected.encode()
    assert house.policy.challenge(arrival) == f'Bearer realm="mantlet", {metadata}, scope="mcp:read mcp:use"'
    assert (await house.come(idp.token(scope="mcp:use mcp:read x"))).scopes == {"mcp:read", "mcp:use", "x"}


async def test_a_token_for_one_server_is_taken_there_alone() -> None:
    """RFC 8707, TOK-04: also when it is known already."""
    idp = StubIdp()
    house = House([idp])
    token = idp.token(aud=f"{MCP}/one")
    for path, is_let in [
        ("/mcp/one", True),
        ("/mcp/two", False),
        ("/mcp", False),
        ("/mcp/one", True),
        ("/mcp/onex", False),
    ]:
        if is_let:
            assert (await house.come(token, path=path)).subject == "alice"
        else:
            with pytest.raises(InvalidCredential):
                await house.come(token, path=path)
    assert (await house.come(idp.token(aud=[f"{MCP}/one", MCP]), path="/mcp/two")).subject == "alice"


async def test_long_tokens_can_be_cut() -> None:
    """TOK-04: never used longer than the cap, whatever the issuer says."""
    idp = StubIdp()
    house = House([idp], [{"longer_tokens": "cut"}])
    token = idp.token(exp=int(NOW) + 5400)
    assert (await house.come(token)).expires_at_s == NOW + 3600
    house.passed_s = 3611
    with pytest.raises(InvalidCredential):
        await house.come(token)


async def test_an_open_stream_ends_with_its_token() -> None:
    """AUTHN-06: asked every two seconds."""
    idp = StubIdp()
    house = House([idp])
    caller = await house.come(idp.token())
    assert house.policy.is_current(caller)
    house.passed_s = 300
    assert not house.policy.is_current(caller)


async def test_a_withdrawn_key_ends_what_it_vouched_for() -> None:
    """AUTHN-06: streams with the next look at them, and what is remembered of its tokens at once; others go on."""
    idp = StubIdp()
    other = Key("k2", "ES256", make_key("ES256"))
    idp.keys.append(other)
    house = House([idp])
    token = idp.token(sub="ann")
    withdrawn, stays = await house.come(token), await house.come(idp.token(other, sub="bob"))
    idp.keys = [other]
    assert house.policy.is_current(withdrawn)
    await house.kept.refresh()
    assert not house.policy.is_current(withdrawn)
    assert house.policy.is_current(stays)
    with pytest.raises(InvalidCredential):
        await house.come(token)


async def test_keys_that_are_too_old_vouch_for_no_stream() -> None:
    """TOK-07, AUTHN-06: what no new call gets, no stream keeps."""
    idp = StubIdp()
    house = House([idp], [{"max_key_age": 1000}])
    caller = await house.come(idp.token(exp=int(NOW) + 3000))
    house.passed_s = 999
    assert house.policy.is_current(caller)
    house.passed_s = 1000
    assert not house.policy.is_current(caller)


async def test_a_caller_of_another_process_is_recalled_before_keys_were_needed_here() -> None:
    """AUTHN-06: a ticket taken at one worker opens a socket at another, which has seen no token yet."""
    idp = StubIdp()
    caller = await House([idp]).come(idp.token())
    elsewhere = House([idp])
    await elsewhere.policy.recall(caller)
    assert elsewhere.policy.is_current(caller)
    idp.down = True
    cut_off = House([idp])
    with pytest.raises(IssuerUnavailable):
        await cut_off.policy.recall(caller)
    assert not cut_off.policy.is_current(caller)


async def test_a_flood_of_bad_tokens_is_cut_off_before_arithmetic() -> None:
    """AUTHN-07"""
    idp = StubIdp()
    house = House([idp], failures=5)
    good = idp.token()
    await house.come(good)
    wrong = Key("k1", "ES256", make_key("ES256"))
    outcomes = []
    for n in range(10):
        with pytest.raises((InvalidCredential, RateLimited)) as caught:
            await house.come(idp.token(wrong, jti=str(n)))
        outcomes.append(caught.type)
    assert outcomes == [InvalidCredential] * 5 + [RateLimited] * 5
    assert (await house.come(good)).subject == "alice"  # behind the same address, and known
    with pytest.raises(InvalidCredential):
        await house.come(idp.token(wrong, jti="elsewhere"), peer="192.0.2.2")


async def test_the_same_beginning_is_not_the_same_token() -> None:
    """TOK-09: CVE-2026-35030"""
    idp = StubIdp()
    house = House([idp])
    good = idp.token()
    await house.come(good)
    with pytest.raises(InvalidCredential):
        await house.come(good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB"))


async def test_who_keeps_trying_is_looked_at_again() -> None:
    """TOK-09: a failure is remembered for 2 s from when it was found, not from when it was last asked about."""
    idp = StubIdp()
    house = House([idp], [{"key_cooldown": 1}])
    await house.come(idp.token())
    house.passed_s = 1
    idp.down = True
    idp.rotate("k2")
    token = idp.token()
    with pytest.raises(InvalidCredential):
        await house.come(token)
    idp.down = False
    for house.passed_s in (1.5, 2, 2.5):
        with pytest.raises(InvalidCredential):
            await house.come(token)
    house.passed_s = 3
    assert (await house.come(token)).subject == "alice"


async def test_a_new_configuration_begins_with_the_keys_of_the_old() -> None:
    """TOK-07: as old as they are, and only of the same place."""
    idp = StubIdp()
    old = House([idp], [{"max_key_age": 1000}])
    await old.come(idp.token())
    old.passed_s = 500
    idp.down = True
    new = House([idp], [{"max_key_age": 1000}])
    new.passed_s = 500
    new.kept.take_over(old.kept)
    assert old.opened.kept.keys() == new.opened.kept.keys()
    assert new.kept.age_s == 500
    token = idp.token(exp=int(NOW) + 3000)
    assert (await new.come(token)).subject == "alice"
    new.passed_s = 1000
    with pytest.raises(IssuerUnavailable):
        await new.come(token)
    assert House([idp], [{"jwks_url": f"{idp.issuer}/other"}]).opened.kept.keys() != new.opened.kept.keys()
