"""Opaque tokens, whose issuer is asked (RFC 7662)."""

import asyncio
import base64
from typing import Any

import pytest
from tests.policies.authenticate.issuers.stub import MCP, NOW, House, Prover, StubIdp, answer

from mantlet.core.headers import Headers
from mantlet.core.ports import Fetched
from mantlet.core.refusal import InsufficientScope, InvalidCredential, IssuerUnavailable, Overloaded, Refusal
from mantlet.policies.authenticate.introspection.provider import MAX_ASKED

ASKING = {"enabled": True, "client_id": "node:1", "client_secret": "s3cret/of the node"}
ACTIVE = {
    "active": True, "sub": "alice", "aud": MCP, "exp": int(NOW) + 300, "iat": int(NOW), "scope": "mcp:read mcp:write",
    "client_id": "app", "token_type": "Bearer",
}  # fmt: skip


def house(idp: StubIdp, **asking: Any) -> House:
    return House([idp], [{"introspection": ASKING | asking}])


async def test_an_active_token_is_its_subjects() -> None:
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    caller = await house(idp).come("opaque1")
    assert caller.key == ("default", idp.issuer, "alice")
    assert (caller.method, caller.expires_at_s) == ("introspection", NOW + 300)
    assert caller.scopes == {"mcp:read", "mcp:write"}
    method, _, headers, body = next(one for one in idp.seen if one[1].endswith("/introspect"))
    assert (method, body) == ("POST", b"token=opaque1&token_type_hint=access_token")
    # RFC 6749 section 2.3.1: form-encoded before Basic.
    assert base64.b64decode(headers[b"authorization"].split()[1]) == b"node%3A1:s3cret%2Fof%20the%20node"


@pytest.mark.parametrize(
    "change",
    [
        {"active": False}, {"active": "true"}, {"active": 1}, {"active": None},
        {"iss": "https://other.example"}, {"aud": "https://other.example"}, {"aud": None}, {"exp": None},
        {"exp": int(NOW) - 60}, {"nbf": int(NOW) + 60}, {"iat": int(NOW) + 60}, {"exp": int(NOW) + 4000},
        {"sub": None, "client_id": None}, {"sub": 7}, {"token_type": "refresh_token"}, {"cnf": {"jkt": "x"}},
        {"cnf": {}}, {"cnf": {"unknown": "x" * 43}},
    ],
    ids=repr,
)  # fmt: skip
async def test_only_boolean_true_and_claims_as_a_tokens(change: dict[str, Any]) -> None:
    """OAUTH-05, TOK-04: 401"""
    idp = StubIdp()
    idp.opaque["opaque1"] = {name: value for name, value in (ACTIVE | change).items() if value is not None}
    with pytest.raises(InvalidCredential):
        await house(idp).come("opaque1")


@pytest.mark.parametrize(
    "said",
    [
        answer({"error": "invalid_client"}, 401), answer({"active": True}, 500), answer(["active"]), answer({}, 204),
        Fetched(200, Headers(), b"active"), Fetched(200, Headers(), b'{"active": false, "active": true}'),
        Fetched(302, Headers([(b"location", b"https://evil.example")]), b""),
    ],
    ids=lambda said: f"{said.status} {said.body[:20]!r}",
)  # fmt: skip
async def test_an_odd_answer_denies(said: Fetched) -> None:
    """OAUTH-05: 503, since the token may well be good."""
    idp = StubIdp()
    idp.answers["/introspect"] = said
    with pytest.raises(IssuerUnavailable):
        await house(idp).come("opaque1")


async def test_an_endpoint_that_is_down_is_503_and_remembered_as_nothing() -> None:
    """OAUTH-05"""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp)
    await home.kept.refresh()
    idp.down = True
    with pytest.raises(IssuerUnavailable):
        await home.come("opaque1")
    idp.down = False
    assert (await home.come("opaque1")).subject == "alice"


@pytest.mark.parametrize(("cache", "asked"), [(60, [1, 1, 2]), (0, [1, 2, 3]), (1.5, [1, 2, 3])])
async def test_an_answer_is_believed_for_a_while(cache: float, asked: list[int]) -> None:
    """OAUTH-05: at most 60 s, zero possible."""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp, cache=cache)
    counts = []
    for passed_s in (0, 59, 61):
        home.passed_s = passed_s
        await home.come("opaque1")
        counts.append(idp.asked["/introspect"])
    assert counts == asked


async def test_an_answer_is_not_believed_longer_than_the_token_lives() -> None:
    """OAUTH-05: min(exp, 60 s), and a revoked one ends within that."""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE | {"exp": int(NOW) + 20}
    home = house(idp)
    caller = await home.come("opaque1")
    home.passed_s = 31
    assert not home.policy.is_current(caller)
    with pytest.raises(InvalidCredential):
        await home.come("opaque1")


async def test_one_question_for_all_who_bring_the_same_token() -> None:
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = house(idp)
    await home.kept.refresh()
    idp.gate = asyncio.Event()
    coming = [asyncio.ensure_future(home.come("opaque1")) for _ in range(20)]
    await asyncio.sleep(0)
    coming[0].cancel()
    idp.gate.set()
    found = await asyncio.gather(*coming, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert [getattr(one, "subject", one) for one in found[1:]] == ["alice"] * 19
    assert idp.asked["/introspect"] == 1


async def test_made_up_tokens_are_not_all_passed_on() -> None:
    """OAUTH-05: a flood ends here, and answers come when it is over."""
    idp = StubIdp()
    home = house(idp)
    await home.kept.refresh()
    idp.gate = asyncio.Event()
    coming = [asyncio.ensure_future(home.come(f"made-up-{n}")) for n in range(MAX_ASKED + 10)]
    for _ in range(5):
        await asyncio.sleep(0)
    assert sum(one.done() for one in coming) == 10
    idp.gate.set()
    kinds = [type(one) for one in await asyncio.gather(*coming, return_exceptions=True)]
    assert (kinds.count(Overloaded), kinds.count(InvalidCredential)) == (10, MAX_ASKED)
    assert not home.unexpected


async def test_the_secret_goes_only_to_hosts_that_the_operator_named() -> None:
    """OAUTH-02: an endpoint on another host is used when the configuration says so, and not by discovery."""
    idp = StubIdp()
    idp.metadata["introspection_endpoint"] = "https://evil.example/introspect"
    home = house(idp)
    with pytest.raises(IssuerUnavailable):
        await home.come("opaque1")
    assert "introspection.url" in str(home.told)
    idp.opaque["opaque1"] = ACTIVE
    assert (await house(idp, url=f"{idp.issuer}/introspect").come("opaque1")).subject == "alice"


async def test_a_clients_own_token_is_a_services() -> None:
    idp = StubIdp()
    idp.opaque["opaque1"] = {**ACTIVE, "client_id": "machine"}
    del idp.opaque["opaque1"]["sub"], idp.opaque["opaque1"]["iat"]
    caller = await house(idp).come("opaque1")
    assert (caller.subject, caller.kind) == ("machine", "service")


async def test_scopes_are_asked_of_opaque_tokens_too() -> None:
    """AUTHN-04"""
    idp = StubIdp()
    idp.opaque["opaque1"] = ACTIVE
    home = House([idp], [{"introspection": ASKING, "required_scopes": ("mcp:admin",)}])
    with pytest.raises(InsufficientScope):
        await home.come("opaque1")


async def test_an_opaque_token_can_be_bound_to_a_key() -> None:
    """TOK-11"""
    idp, prover = StubIdp(), Prover()
    idp.opaque["opaque1"] = ACTIVE | {"token_type": "DPoP", "cnf": {"jkt": prover.jkt}}
    home = house(idp)
    assert (await home.come("opaque1", scheme="DPoP", proof=prover.proof("opaque1"))).subject == "alice"
    with pytest.raises(InvalidCredential):
        await home.come("opaque1")


async def test_signed_tokens_can_be_asked_about_too() -> None:
    """AUTHN-06: revoked at the issuer, refused here when the answer is no longer fresh."""
    idp = StubIdp()
    token = idp.token()
    idp.opaque[token] = {"active": True}
    home = house(idp, tokens="all", cache=5)
    assert (await home.come(token)).method == "jwt"
    del idp.opaque[token]
    home.passed_s = 6
    with pytest.raises(InvalidCredential):
        await home.come(token)


async def test_tokens_are_shown_to_their_own_issuer_only() -> None:
    one, two = StubIdp("https://one.example"), StubIdp("https://two.example")
    one.opaque["a-1"], two.opaque["b-1"] = ACTIVE, ACTIVE
    home = House(
        [one, two], [{"introspection": ASKING | {"prefix": "a-"}}, {"introspection": ASKING | {"prefix": "b-"}}]
    )
    assert (await home.come("a-1")).issuer == one.issuer
    assert (await home.come("b-1")).issuer == two.issuer
    with pytest.raises(Refusal):
        await home.come("c-1")
    assert (one.asked["/introspect"], two.asked["/introspect"]) == (1, 1)
