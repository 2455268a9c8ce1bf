"""While one key takes over from another, both are good; then the old one is dead (CFG-04)."""

import os
import secrets
import time
from pathlib import Path

import jwt
import pytest
import yaml

from mantlet.core.clock import Clock
from mantlet.core.config_error import ConfigError
from mantlet.core.refusal import InvalidCredential
from mantlet.core.secret import Secret
from mantlet.keys.files import previous_of, rotate_secret, write_secret
from mantlet.keys.overlap import Overlap
from mantlet.keys.ring import KeyRing, open_ring
from mantlet.keys.seal import open_sealer
from mantlet.keys.signing import make_signing_key
from mantlet.node.config import load
from mantlet.node.identity.own_keys import own_ring, published
from mantlet.wire.jws import parse


def ring(secret: str) -> KeyRing:
    found = open_ring(secret=Secret(secret))
    assert found is not None
    return found


def signed(secret: str) -> bytes:
    return jwt.encode({"sub": "a"}, secret, "HS256").encode()


def test_the_old_key_is_good_until_an_instant_and_not_a_moment_longer() -> None:
    """CFG-04"""
    new, old, other = (secrets.token_urlsafe(48) for _ in range(3))
    now_s = 100.0
    both = Overlap(ring(new), ring(old), 200.0, Clock(lambda: now_s, lambda: now_s))
    for secret in (new, old):
        both.check(parse(signed(secret)))
    with pytest.raises(InvalidCredential):
        both.check(parse(signed(other)))
    now_s = 200.0
    both.check(parse(signed(new)))
    with pytest.raises(InvalidCredential):
        both.check(parse(signed(old)))


@pytest.mark.parametrize("kind", ["secret_file", "key_file"])
def test_a_file_that_was_rotated_needs_no_word_in_the_configuration(tmp_path: Path, kind: str) -> None:
    """CFG-04: rotation with overlap, by files alone."""
    file, config = tmp_path / "jwt", tmp_path / "mantlet.yaml"
    section = {kind: "./jwt", "issuer": "i", "audience": "a"}
    config.write_text(
        yaml.safe_dump({"environment": "development", "auth": {"jwt": section}, "secrets": {"overlap": 60}})
    )
    old = secrets.token_urlsafe(48)
    if kind == "secret_file":
        write_secret(file, old)
        rotate_secret(file, secrets.token_urlsafe(48))
    else:
        make_signing_key(file)
        other = make_signing_key(tmp_path / "other")
        rotate_secret(file, (tmp_path / "other").read_text())
    found = load([str(config)], {}).config.auth.jwt
    assert found.previous_until is not None
    assert isinstance(own_ring(found), Overlap)
    if kind == "secret_file":
        assert found.previous_secret == Secret(old)
        assert published(found) == []
    else:
        kids = [key["kid"] for key in published(found)]
        assert kids[0] == other.kid
        assert len(kids) == 2, "others check tokens of both"
    past = time.time() - 61
    os.utime(previous_of(file), (past, past))
    after = load([str(config)], {}).config.auth.jwt
    assert (after.previous_until, after.previous_secret, after.previous_key_file) == (None, None, None)


@pytest.mark.parametrize(
    "jwt_section",
    [
        {"previous_secret": "x" * 48},
        {"previous_until": "2030-01-01T00:00:00Z"},
        {"previous_secret": "x" * 48, "previous_key_file": "/x", "previous_until": "2030-01-01T00:00:00Z"},
    ],
)
def test_an_old_key_without_an_end_is_refused(tmp_path: Path, jwt_section: dict[str, str]) -> None:
    file = tmp_path / "mantlet.yaml"
    file.write_text(yaml.safe_dump({"environment": "development", "auth": {"jwt": jwt_section}}))
    with pytest.raises(ConfigError, match="previous"):
        load([str(file)], {})


def test_what_the_old_sealing_key_sealed_still_opens(tmp_path: Path) -> None:
    """CFG-04"""
    sealed = open_sealer(tmp_path / "node.key").seal(b"plain", b"context")
    rotate_secret(tmp_path / "node.key", secrets.token_urlsafe(32) + "\n")
    after = open_sealer(tmp_path / "node.key")
    assert after.open(sealed, b"context") == b"plain"
    previous_of(tmp_path / "node.key").unlink()
    assert open_sealer(tmp_path / "node.key").open(sealed, b"context") is None
    assert open_sealer(tmp_path / "node.key").open(after.seal(b"new", b"c"), b"c") == b"new"
