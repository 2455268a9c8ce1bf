"""Keys that change hands, and tokens that are taken back, in a node that runs: one process, and two workers."""

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from bench.rig.gateway import AUDIENCE, ISSUER, Gateway, start_gateway
from tests.node.processes.support import eventually, post, settings
from tests.servers.vault import VaultStub, running_vault

EVERYWHERE = 12
"""So many answers alike, on connections that the kernel spreads: then both workers gave some."""


@pytest.fixture(params=[1, 2], ids=["one process", "two workers"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    with start_gateway(settings(request.param), tmp_path) as running:
        eventually(lambda: post(running, "sdk", "tools/list")[0] == 200)
        yield running


def token(secret: str, **claims: Any) -> str:
    now_s = int(time.time())
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "ada", "iat": now_s, "nbf": now_s, "exp": now_s + 600,
            "jti": secrets.token_hex(8), "scope": "mcp:read"}  # fmt: skip
    return jwt.encode(said | claims, secret, "HS256", {"typ": "at+jwt"})


class As:
    """The gateway, asked with another token."""

    def __init__(self, gateway: Gateway, credential: str) -> None:
        self.url, self.token = gateway.url, credential


def statuses(gateway: Gateway, credential: str) -> set[int]:
    there: Any = As(gateway, credential)
    return {post(there, "sdk", "tools/list")[0] for _ in range(EVERYWHERE)}


def command(gateway: Gateway, *arguments: str) -> dict[str, Any]:
    line = [sys.executable, "-m", "mantlet", *arguments, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=True, cwd=gateway.folder)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_a_key_is_rotated_while_calls_go_on_and_the_old_one_holds_a_while(gateway: Gateway) -> None:
    """CFG-04: without restart; the old key dies after the overlap."""
    file = gateway.folder / "jwt.secret"
    old = file.read_text().strip()
    assert statuses(gateway, token(old)) == {200}
    command(gateway, "secrets", "rotate", str(file))
    new = file.read_text().strip()
    assert new != old
    eventually(lambda: statuses(gateway, token(new)) == {200})
    assert statuses(gateway, token(old)) == {200}
    assert statuses(gateway, token(secrets.token_urlsafe(48))) == {401}
    (gateway.folder / "jwt.secret.previous").unlink()
    file.touch()  # a change, so that the files are looked at again: the overlap itself is proven by a clock elsewhere
    eventually(lambda: statuses(gateway, token(old)) == {401})
    assert statuses(gateway, token(new)) == {200}


@pytest.mark.slow
def test_a_token_and_a_key_are_taken_back_in_all_workers_within_seconds(gateway: Gateway) -> None:
    """TOK-10, AUTHN-05: from the command line, with a running node that is told nothing."""
    config = str(gateway.folder / "mantlet.yaml")
    one, spared = (token((gateway.folder / "jwt.secret").read_text().strip()) for _ in range(2))
    made = command(gateway, "keys", "create", "ci", "--scope", "mcp:read", "-c", config)
    for credential in (one, spared, made["key"]):
        assert statuses(gateway, credential) == {200}
    jti = jwt.decode(one, options={"verify_signature": False})["jti"]
    command(gateway, "tokens", "revoke", "--id", jti, "-c", config)
    command(gateway, "keys", "revoke", made["id"], "-c", config)
    began_s = time.monotonic()
    eventually(lambda: statuses(gateway, one) == {401}, within_s=5)
    eventually(lambda: statuses(gateway, made["key"]) == {401}, within_s=5 - (time.monotonic() - began_s))
    assert statuses(gateway, spared) == {200}


@pytest.mark.slow
def test_a_secret_that_changes_in_the_vault_is_taken_up(tmp_path: Path) -> None:
    """CFG-04: the vault is a stub."""
    old, new = (secrets.token_urlsafe(48) for _ in range(2))
    stub = VaultStub(kept={"secret/mantlet": {"value": old}}, tokens={"hvs.of-a-test"})
    with running_vault(stub):
        made = settings(1)
        made["auth"]["api_keys"] = [{"name": "v", "key": "vault://secret/mantlet", "scopes": ["mcp:read"]}]
        made["secrets"] = {"vault": {"address": stub.url, "token": "hvs.of-a-test", "refresh": 10}}
        with start_gateway(made, tmp_path) as gateway:
            eventually(lambda: statuses(gateway, old) == {200})
            stub.kept["secret/mantlet"]["value"] = new
            eventually(lambda: statuses(gateway, new) == {200}, within_s=30)
            assert statuses(gateway, old) == {401}
