"""Who calls, as a program asks it. What is recognised is proved in tests/policies/authenticate."""

import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest

from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import AmbiguousCredentials, InvalidCredential, RateLimited, Unauthenticated
from mantlet.embed import IdentityProvider

SECRET, OTHER = secrets.token_hex(32), secrets.token_hex(32)


def configured(folder: Path) -> dict[str, Any]:
    key_file = folder / "alice.key"
    key_file.touch(0o600)
    key_file.write_text(secrets.token_urlsafe(40))
    return {
        "environment": "development",
        "database": {"url": f"sqlite:///{folder / 'mantlet.db'}"},
        "audit": {"path": str(folder / "audit")},
        "agent": {"shared_dir": str(folder / "shared")},
        "auth": {
            "api_keys": [{"name": "alice", "key_file": str(key_file), "roles": ["reader"]}],
            "jwt": {"algorithms": ["HS256"], "issuer": "https://iss", "audience": "https://aud", "secret": SECRET},
        },
    }


def token(secret: str = SECRET, **claims: Any) -> dict[str, str]:
    now = int(time.time())
    whole = {"iss": "https://iss", "aud": "https://aud", "sub": "bob", "iat": now, "nbf": now, "exp": now + 600}
    made = jwt.encode({**whole, "jti": "1", **claims}, secret, algorithm="HS256", headers={"typ": "at+jwt"})
    return {"Authorization": f"Bearer {made}"}


@pytest.fixture
async def identity(tmp_path: Path) -> AsyncIterator[IdentityProvider]:
    async with IdentityProvider(configured(tmp_path)) as opened:
        yield opened


async def test_callers_are_recognised_by_whatever_is_configured(identity: IdentityProvider, tmp_path: Path) -> None:
    """AUTHN-09"""
    key = (tmp_path / "alice.key").read_text()
    alice = await identity.recognise({"X-API-Key": key}, peer="192.0.2.1")
    assert (alice.subject, alice.roles, alice.method) == ("alice", frozenset({"reader"}), "api_key")
    bob = await identity.recognise(token(tenant="t2"), peer="192.0.2.1")
    assert bob.key == ("t2", "https://iss", "bob")
    assert identity.is_current(alice)
    assert identity.is_current(bob)


async def test_strangers_are_told_apart_from_forgers_and_both_are_refused(identity: IdentityProvider) -> None:
    """AUTHN-02: never a caller that is nobody."""
    with pytest.raises(Unauthenticated):
        await identity.recognise({}, peer="192.0.2.1")
    for bad in ({"X-API-Key": "guess"}, token(aud="https://other"), token(exp=1)):
        with pytest.raises(InvalidCredential):
            await identity.recognise(bad, peer="192.0.2.1")
    twice = [(b"Authorization", b"Bearer a"), (b"authorization", b"Bearer b")]
    with pytest.raises(AmbiguousCredentials):
        await identity.recognise(twice, peer="192.0.2.1")


async def test_who_guesses_is_slowed_down_where_it_is(identity: IdentityProvider) -> None:
    """AUTHN-07"""
    ends = []
    while not ends or ends[-1] is InvalidCredential:
        assert len(ends) < 1_000
        try:
            await identity.recognise(token(secret=OTHER, jti=str(len(ends))), peer="192.0.2.7")
        except (InvalidCredential, RateLimited) as refusal:
            ends.append(type(refusal))
    assert ends[-1] is RateLimited
    assert (await identity.recognise(token(), peer="192.0.2.8")).subject == "bob"


async def test_what_a_node_would_not_start_with_is_refused(tmp_path: Path) -> None:
    config = configured(tmp_path)
    with pytest.raises(ConfigError):
        IdentityProvider({**config, "auth": {"nonsense": True}})
    with pytest.raises(RuntimeError, match="open it first"):
        await IdentityProvider(config).recognise({}, peer="192.0.2.1")
