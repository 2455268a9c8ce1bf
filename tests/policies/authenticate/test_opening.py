from typing import Any

import msgspec
import pytest

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.policies.authenticate.config import AuthConfig
from mantlet.policies.authenticate.opening import open_authenticate
from mantlet.policies.authenticate.policy import Authenticate, Disabled

GOOD_KEY = "q8Zr2mXw0Lk7Vt4Nc9Yb1Hd6Jf3Gs5Pa8Ue2Io7Wx0Q"
PEPPER = b"p" * 32


class AnyKey:
    def check(self, jws: object, /) -> None:
        raise AssertionError("never asked here")


def config_of(**section: Any) -> AuthConfig:
    return msgspec.convert(section, AuthConfig, dec_hook=lambda kind, value: Secret(value))


def opened(config: AuthConfig, **options: Any) -> Authenticate | Disabled:
    given: dict[str, Any] = {
        "environment": "production",
        "clock": SYSTEM,
        "pepper": PEPPER,
        "read_secret": lambda path: Secret(GOOD_KEY),
        "public_url": "https://node.example",
    }
    return open_authenticate(config, **(given | options))


def test_the_documented_section_opens() -> None:
    config = config_of(
        enabled=True,
        api_keys=[{"name": "ci", "key_file": "ci.key", "roles": ["admin"], "tenant": "default", "scopes": ["mcp:*"]}],
        jwt={"secret_file": None, "algorithms": ["EdDSA"], "issuer": None, "audience": None, "max_token_age": 3600},
        issuers=[{"name": "corp", "issuer": "https://idp.example.com"}],
        mtls={"enabled": False},
        mock={"tokens": {}},
    )
    assert isinstance(opened(config), Authenticate)
    assert isinstance(opened(AuthConfig()), Authenticate)


@pytest.mark.parametrize("environment", ["production", "staging", "", "Development", "dev"])
def test_authentication_is_off_in_development_alone(environment: str) -> None:
    """AUTHN-02"""
    config = config_of(enabled=False)
    with pytest.raises(ConfigError, match=r"auth\.enabled"):
        opened(config, environment=environment)
    assert isinstance(opened(config, environment="development"), Disabled)


@pytest.mark.parametrize("environment", ["production", "staging", ""])
def test_mock_tokens_work_in_development_alone(environment: str) -> None:
    config = config_of(mock={"tokens": {"t": {"subject": "ann"}}})
    with pytest.raises(ConfigError, match=r"auth\.mock"):
        opened(config, environment=environment)


@pytest.mark.parametrize(
    ("section", "where"),
    [
        ({"api_keys": [{"name": "ci"}]}, "auth.api_keys[0]"),
        ({"api_keys": [{"name": "ci", "key": GOOD_KEY, "key_file": "x"}]}, "auth.api_keys[0]"),
        ({"api_keys": [{"name": "ci", "key": "short"}]}, "auth.api_keys[0]"),
        ({"api_keys": [{"name": "ci", "key": "changeme" * 5}]}, "auth.api_keys[0]"),
        ({"api_keys": [{"name": "ci", "key": "a" * 40}]}, "auth.api_keys[0]"),
        ({"api_keys": [{"name": "ci", "key": GOOD_KEY + ", b"}]}, "auth.api_keys[0]"),
        ({"api_keys": [{"name": " ", "key": GOOD_KEY}]}, "auth.api_keys[0].name"),
        ({"api_keys": [{"name": "ci", "key": GOOD_KEY, "expires": "soon"}]}, "auth.api_keys[0].expires"),
        ({"api_keys": [{"name": "ci", "key": GOOD_KEY, "expires": "2030-01-01T00:00:00"}]}, "auth.api_keys[0].expires"),
        ({"api_keys": [{"name": "a", "key": GOOD_KEY}, {"name": "b", "key": GOOD_KEY}]}, "auth.api_keys"),
        ({"api_keys": [{"name": "a", "key": GOOD_KEY}, {"name": "a", "key": GOOD_KEY + "x"}]}, "auth.api_keys"),
        ({"jwt": {"key_file": "k"}, "failures": {"window": 0}}, "auth.failures"),
        ({"jwt": {"key_file": "k", "leeway": 61}}, "auth.jwt.leeway"),
        ({"jwt": {"key_file": "k", "leeway": -1}}, "auth.jwt.leeway"),
        ({"jwt": {"key_file": "k", "max_token_age": 3601}}, "auth.jwt.max_token_age"),
        ({"jwt": {"key_file": "k", "max_token_age": 0}}, "auth.jwt.max_token_age"),
    ],
)
def test_faults_name_their_place_and_no_secret(section: dict[str, Any], where: str) -> None:
    """TOK-04, TOK-12, AUTHN-05, AUD-06"""
    with pytest.raises(ConfigError) as caught:
        opened(config_of(**section), keys=AnyKey())
    assert caught.value.where == where
    assert GOOD_KEY not in str(caught.value)


def test_a_named_key_that_was_not_opened_is_an_error() -> None:
    with pytest.raises(ConfigError, match=r"auth\.jwt"):
        opened(config_of(jwt={"key_file": "k"}))


@pytest.mark.parametrize("missing", ["issuer", "audience"])
def test_issuer_and_audience_are_never_left_open(missing: str) -> None:
    """TOK-04"""
    jwt = {"key_file": "k", "issuer": "https://i.example", "audience": "https://a.example"}
    del jwt[missing]
    with pytest.raises(ConfigError, match=missing):
        opened(config_of(jwt=jwt), keys=AnyKey(), public_url="")


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ConfigError, match="pepper"):
        opened(AuthConfig(), pepper=b"short")


def test_secrets_of_the_section_are_masked() -> None:
    """AUD-06"""
    config = config_of(api_keys=[{"name": "ci", "key": GOOD_KEY}], jwt={"secret": GOOD_KEY})
    assert GOOD_KEY not in repr(config)
    assert GOOD_KEY.encode() not in msgspec.json.encode(config, enc_hook=str)


@pytest.mark.parametrize("environment", ["production", "staging", ""])
@pytest.mark.parametrize("name", ["issuer", "audience"])
def test_claims_are_left_unchecked_in_development_alone(environment: str, name: str) -> None:
    """TOK-04, CFG-01"""
    config = config_of(validate={name: False})
    with pytest.raises(ConfigError, match=rf"auth\.validate\.{name}"):
        opened(config, environment=environment)
    assert isinstance(opened(config, environment="development"), Authenticate)
