"""`auth.validate` in development: what is left unchecked, and what is checked all the same."""

from dataclasses import dataclass
from typing import Any

import msgspec
import pytest
from tests.policies.authenticate.issuers.stub import MCP, NOW, PUBLISHED, URL, House, Key, StubIdp, make_key, sign

from mantlet.core.clock import Clock
from mantlet.core.refusal import InvalidCredential
from mantlet.core.secret import Secret
from mantlet.keys.jwk import VerificationKey
from mantlet.keys.ring import KeyRing
from mantlet.policies.authenticate.config import AuthConfig
from mantlet.policies.authenticate.opening import ANY_ISSUER, open_authenticate
from mantlet.policies.authenticate.policy import Authenticate

OWN = Key("own", "EdDSA", make_key("EdDSA"))
RING = KeyRing([VerificationKey("own", OWN.private.public_key(), frozenset({"EdDSA"}))])


def token(key: Key = OWN, **claims: Any) -> str:
    whole: dict[str, Any] = {
        "iss": URL, "sub": "alice", "aud": MCP, "iat": int(NOW), "nbf": int(NOW), "exp": int(NOW) + 300,
    }  # fmt: skip
    whole = {name: value for name, value in (whole | claims).items() if value is not None}
    return sign({"typ": "at+jwt", "kid": key.kid}, whole, key)


@dataclass
class Node:
    """A node in development with a key of its own, and what its section `validate` says."""

    validate: dict[str, bool]
    url: str = URL
    idp: StubIdp | None = None

    def __post_init__(self) -> None:
        self.house = House([self.idp] if self.idp else [], [{}] if self.idp else [])
        config = msgspec.convert(
            {"jwt": {"key_file": "k"}, "validate": self.validate},
            AuthConfig,
            dec_hook=lambda kind, value: Secret(value),
        )
        policy = open_authenticate(
            config,
            environment="development",
            clock=Clock(lambda: 50.0, lambda: NOW),
            pepper=b"p" * 32,
            read_secret=Secret,
            keys=RING,
            public_url=self.url,
            published=PUBLISHED,
            more=self.house.opened.providers,
        )
        assert isinstance(policy, Authenticate)
        self.house.policy = policy

    async def come(self, text: str) -> Any:
        return await self.house.come(text)


FOREIGN = {"iss": "https://anybody.example"}
ELSEWHERE = {"aud": "https://other.example/mcp"}


@pytest.mark.parametrize(
    ("validate", "claims", "is_taken"),
    [
        ({}, {}, True), ({}, FOREIGN, False), ({}, ELSEWHERE, False), ({}, {"iss": None}, False),
        ({"issuer": False}, FOREIGN, True), ({"issuer": False}, {"iss": None}, True),
        ({"issuer": False}, ELSEWHERE, False), ({"issuer": False}, FOREIGN | ELSEWHERE, False),
        ({"audience": False}, ELSEWHERE, True), ({"audience": False}, {"aud": None}, True),
        ({"audience": False}, FOREIGN, False),
        ({"issuer": False, "audience": False}, FOREIGN | ELSEWHERE, True),
        ({"issuer": True, "audience": True}, FOREIGN, False), ({"issuer": True, "audience": True}, ELSEWHERE, False),
    ],
    ids=repr,
)  # fmt: skip
async def test_what_is_switched_off_is_not_asked(
    validate: dict[str, bool], claims: dict[str, Any], is_taken: bool
) -> None:
    """TOK-04: each switch relaxes what it names, and nothing beside it."""
    node = Node(validate)
    if not is_taken:
        with pytest.raises(InvalidCredential):
            await node.come(token(**claims))
        return
    caller = await node.come(token(**claims))
    # Whatever the token called itself: nobody becomes another issuer's principal by it (AUTHN-09).
    assert (caller.subject, caller.issuer) == ("alice", URL)


@pytest.mark.parametrize(
    "claims", [{"exp": int(NOW) - 60}, {"sub": None}, {"env": "production"}, {"exp": None}], ids=repr
)
async def test_all_else_is_asked_still(claims: dict[str, Any]) -> None:
    """TOK-01, TOK-04: signature, life, subject, environment."""
    node = Node({"issuer": False, "audience": False})
    with pytest.raises(InvalidCredential):
        await node.come(token(**claims))
    forged = Key("own", "EdDSA", make_key("EdDSA"))
    with pytest.raises(InvalidCredential):
        await node.come(token(forged))


async def test_a_token_of_a_configured_issuer_is_that_issuers_alone() -> None:
    """TOK-06: our key signs nothing for it, whatever is switched off."""
    idp = StubIdp()
    node = Node({"issuer": False}, idp=idp)
    assert (await node.come(idp.token())).issuer == idp.issuer
    with pytest.raises(InvalidCredential):
        await node.come(token(iss=idp.issuer))


async def test_without_a_name_of_its_own_the_node_takes_tokens_all_the_same() -> None:
    node = Node({"issuer": False, "audience": False}, url="")
    assert (await node.come(token(iss="x", aud="y"))).issuer == ANY_ISSUER


async def test_an_issuers_audience_is_let_be_as_well() -> None:
    """TOK-04: of `auth.issuers`, so that a provider at home need not know the node's address."""
    idp = StubIdp()
    house = House([idp], checks_audience=False)
    assert (await house.come(idp.token(aud="account"))).subject == "alice"
    with pytest.raises(InvalidCredential):
        await House([idp]).come(idp.token(aud="account"))
