"""What is found at start, without asking anybody."""

from typing import Any

import pytest
from tests.policies.authenticate.issuers.stub import House, StubIdp

from mantlet.core.config_error import ConfigError
from mantlet.policies.authenticate.dpop.opening import open_dpop
from mantlet.policies.authenticate.issuers.config import DpopConfig

CLIENT = {"enabled": True, "client_id": "c", "client_secret": "s"}


def opened(*configs: dict[str, Any], environment: str = "production", issuer: str = "https://idp.example") -> None:
    House([StubIdp(issuer)] * len(configs), configs, environment)


@pytest.mark.parametrize(
    ("config", "key"),
    [
        ({"name": " "}, "name"),
        ({"issuer": "idp.example"}, "issuer"),
        ({"issuer": "http://idp.example"}, "issuer"),
        ({"issuer": "https://idp.example?tenant=1"}, "issuer"),
        ({"jwks_url": "http://idp.example/jwks"}, "jwks_url"),
        ({"introspection": CLIENT | {"url": "http://idp.example/i"}}, "introspection.url"),
        ({"algorithms": []}, "algorithms"),
        ({"algorithms": ["none"]}, "algorithms"),
        ({"algorithms": ["RS256", "HS256"]}, "algorithms"),
        ({"algorithms": ["rs256"]}, "algorithms"),
        ({"max_token_age": 3601}, "max_token_age"),
        ({"max_token_age": 0}, "max_token_age"),
        ({"leeway": 61}, "leeway"),
        ({"leeway": -1}, "leeway"),
        ({"key_refresh": 1}, "key_refresh"),
        ({"key_cooldown": 0}, "key_cooldown"),
        ({"max_key_age": 599}, "max_key_age"),
        ({"max_key_age": 10**9}, "max_key_age"),
        ({"introspection": CLIENT | {"cache": 61}}, "introspection.cache"),
        ({"introspection": {"enabled": True}}, "introspection"),
        ({"introspection": {"enabled": True, "client_id": "c"}}, "introspection"),
        ({"introspection": CLIENT | {"client_secret_file": "f"}}, "introspection"),
        ({"claims": {"subject": "email"}}, "claims.subject"),
        ({"claims": {"subject": "profile.preferred_username"}}, "claims.subject"),
        ({"claims": {"tenant": "upn"}}, "claims.tenant"),
        ({"claims": {"roles": "email"}}, "claims.roles"),
        ({"claims": {"subject": ""}}, "claims.subject"),
        ({"tenant": ""}, "tenant"),
        ({"role_map": {"a": "admin"}}, "role_map"),
    ],
    ids=repr,
)
def test_each_fault_names_its_key(config: dict[str, Any], key: str) -> None:
    """TOK-01, TOK-04, TOK-07, OAUTH-02, OAUTH-05, AUTHN-09"""
    with pytest.raises(ConfigError) as caught:
        opened(config)
    assert caught.value.where == f"auth.issuers[0].{key}"


def test_one_issuer_stands_once() -> None:
    """TOK-06"""
    with pytest.raises(ConfigError, match="another entry"):
        opened({}, {"name": "again"})


def test_opaque_tokens_have_one_issuer() -> None:
    with pytest.raises(ConfigError, match="prefix"):
        House([StubIdp(), StubIdp("https://two.example")], [{"introspection": CLIENT}, {"introspection": CLIENT}])


@pytest.mark.parametrize(
    ("environment", "longest"), [("development", 86_400), ("staging", 86_400), ("production", 3600)]
)
def test_how_long_tokens_may_live(environment: str, longest: int) -> None:
    """TOK-04"""
    opened({"max_token_age": longest}, environment=environment)
    with pytest.raises(ConfigError):
        opened({"max_token_age": longest + 1}, environment=environment)


def test_plain_http_is_for_development() -> None:
    """OAUTH-02"""
    opened({}, environment="development", issuer="http://127.0.0.1:9")
    for environment in ("staging", "production"):
        with pytest.raises(ConfigError):
            opened({}, environment=environment, issuer="http://127.0.0.1:9")


@pytest.mark.parametrize(
    "config", [{"algorithms": ("HS256",)}, {"algorithms": ()}, {"max_age": 0}, {"max_age": 301}, {"leeway": -1}]
)
def test_proofs_that_would_prove_nothing(config: dict[str, Any]) -> None:
    """TOK-11"""
    house = House([StubIdp()])
    with pytest.raises(ConfigError):
        open_dpop(
            DpopConfig(**config),
            check_signature=lambda jws, jwk: "",
            state=house.state,
            clock=house.clock,
            public_url="",
        )
