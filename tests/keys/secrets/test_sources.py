"""Secrets that the config names by their place. The vault here is a stub (`tests/servers/vault.py`)."""

import secrets
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.servers.vault import VaultStub, running_vault

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.keys.secrets import keyring
from mantlet.keys.secrets.config import VaultConfig
from mantlet.keys.secrets.reference import Reference, reference_of
from mantlet.keys.secrets.vault import asking
from mantlet.node.config import load
from mantlet.node.config.effective import effective

GOOD = secrets.token_urlsafe(48)


@pytest.fixture
def vault() -> Iterator[VaultStub]:
    stub = VaultStub(kept={"secret/mantlet/jwt": {"hs256": GOOD, "value": GOOD[::-1], "number": 7}})
    stub.roles["role"] = "secret-id"
    stub.tokens.add("hvs.of-a-test")
    with running_vault(stub):
        yield stub


def private(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


def loaded(folder: Path, secret: str, environ: dict[str, str] | None = None, **sections: Any) -> Any:
    whole = {"environment": "development", "auth": {"jwt": {"secret": secret, "issuer": "i", "audience": "a"}}}
    file = folder / "mantlet.yaml"
    file.write_text(yaml.safe_dump({**whole, **sections}))
    return load([str(file)], environ or {})


def of(stub: VaultStub, **more: Any) -> dict[str, Any]:
    return {"vault": {"address": stub.url, **more}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("env:NAME", Reference("env", "NAME")),
        ("file:/run/secrets/x", Reference("file", "/run/secrets/x")),
        ("keyring:mantlet/jwt", Reference("keyring", "mantlet", "jwt")),
        ("vault://secret/mantlet/jwt#hs256", Reference("vault", "secret/mantlet/jwt", "hs256")),
        ("vault://secret/mantlet", Reference("vault", "secret/mantlet", "value")),
        pytest.param(GOOD, None, id="a secret"),
        ("environment", None),
    ],
)
def test_a_place_is_told_from_a_secret(text: str, expected: Reference | None) -> None:
    assert reference_of(text) == expected


@pytest.mark.parametrize(
    "text",
    ["env:", "file:", "keyring:x", "keyring:/x", "vault://x", "vault://a//b", "vault://a/../b#c", "vault://a/b?c", "vault:///a",
     "aws:secretsmanager:x", "arn:aws:secretsmanager:eu:1:secret:x"],
)  # fmt: skip
def test_a_place_that_is_none_is_an_error_and_never_a_secret(text: str) -> None:
    """CFG-04: also where no reader is offered: the name of a secret must not become the secret."""
    with pytest.raises(ValueError, match=r"."):
        reference_of(text)


def test_a_token_from_a_file_reads_and_is_renewed(vault: VaultStub, tmp_path: Path) -> None:
    """CFG-04"""
    found = loaded(
        tmp_path,
        "vault://secret/mantlet/jwt#hs256",
        secrets=of(vault, token_file=private(tmp_path / "token", "hvs.of-a-test")),
    )
    assert found.config.auth.jwt.secret == Secret(GOOD)
    assert ("POST", "/v1/auth/token/renew-self") in vault.asked
    assert "hvs.of-a-test" in vault.tokens
    shown = "\n".join(str(line) for line in effective(found))
    for secret in (GOOD, "hvs.of-a-test"):
        assert secret not in shown
        assert secret not in repr(found)


def test_an_approle_takes_a_token_for_one_reading_and_gives_it_back(vault: VaultStub, tmp_path: Path) -> None:
    """CFG-04: no lease is left behind."""
    role = {"role_id": "role", "secret_id_file": private(tmp_path / "secret-id", "secret-id")}
    found = loaded(tmp_path, "vault://secret/mantlet/jwt", secrets=of(vault, approle=role))
    assert found.config.auth.jwt.secret == Secret(GOOD[::-1])
    assert vault.tokens == {"hvs.of-a-test"}
    assert vault.asked[-1] == ("POST", "/v1/auth/token/revoke-self")


def test_a_vault_that_is_not_needed_is_not_asked(vault: VaultStub, tmp_path: Path) -> None:
    loaded(tmp_path, GOOD, secrets=of(vault, token_file=private(tmp_path / "token", "hvs.of-a-test")))
    assert vault.asked == []


@pytest.mark.parametrize(
    ("place", "more", "said"),
    [
        ("vault://secret/mantlet/jwt#none", {}, "is not there"),
        ("vault://secret/mantlet/jwt#number", {}, "no text"),
        ("vault://secret/other#x", {}, "is not there"),
        ("vault://kv1/mantlet/jwt#x", {}, "not in a KV version 2"),
        ("vault://secret/mantlet/jwt#hs256", {"token": "wrong"}, "refuses it"),
        ("vault://secret/mantlet/jwt#hs256", {"namespace": "team"}, "is not there"),
        ("vault://secret/mantlet/jwt#hs256", {"address": "http://vault.example:8200"}, "is not https"),
        ("vault://secret/mantlet/jwt#hs256", {"address": "https://u@vault.example"}, "no plain address"),
        ("vault://secret/mantlet/jwt#hs256", {"address": "http://127.0.0.1:1"}, "cannot be reached"),
        ("env:NOT_SET", {}, "is not set"),
        ("file:/does/not/exist", {}, "cannot be read"),
    ],
)
def test_a_secret_that_cannot_be_had_stops_the_start_and_says_where(
    vault: VaultStub, tmp_path: Path, place: str, more: dict[str, str], said: str
) -> None:
    """CFG-04: nothing missing means an empty secret."""
    with pytest.raises(ConfigError) as refused:
        loaded(tmp_path, place, secrets=of(vault, **{"token": "hvs.of-a-test", **more}))
    assert said in str(refused.value)
    assert "auth.jwt.secret" in str(refused.value)
    assert "hvs.of-a-test" not in str(refused.value)


def test_a_wrong_approle_and_a_sealed_vault_say_so(vault: VaultStub, tmp_path: Path) -> None:
    role = {"role_id": "role", "secret_id": "wrong"}
    with pytest.raises(ConfigError, match="refused the login"):
        loaded(tmp_path, "vault://secret/mantlet/jwt", secrets=of(vault, approle=role))
    vault.is_sealed = True
    with pytest.raises(ConfigError, match="sealed"):
        loaded(tmp_path, "vault://secret/mantlet/jwt", secrets=of(vault, token="hvs.of-a-test"))
    with pytest.raises(ConfigError, match="nothing of where the vault is"):
        loaded(tmp_path, "vault://secret/mantlet/jwt")


def test_what_a_vault_says_of_itself_is_not_followed(vault: VaultStub, tmp_path: Path) -> None:
    """EGR-01: one address, no redirects: http.client follows none."""
    answered = asking(VaultConfig(address=vault.url, token=Secret("hvs.of-a-test")))("GET", "/v1/x", {}, b"")
    assert answered.status in (403, 404)


def test_a_variable_and_a_file_of_its_owner(tmp_path: Path) -> None:
    """CFG-04"""
    assert loaded(tmp_path, "env:JWT", {"JWT": GOOD}).config.auth.jwt.secret == Secret(GOOD)
    place = private(tmp_path / "jwt", GOOD + "\n")
    assert loaded(tmp_path, f"file:{place}").config.auth.jwt.secret == Secret(GOOD)
    assert loaded(tmp_path, "file:jwt").config.auth.jwt.secret == Secret(GOOD), "by the folder of the config"
    Path(place).chmod(0o640)
    with pytest.raises(ConfigError, match="is open to its group"):
        loaded(tmp_path, f"file:{place}")


class _Ring(types.ModuleType):
    """The library `keyring` with a keyring that is a dict."""

    def __init__(self) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.errors = types.ModuleType("keyring.errors")
        self.errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]

    def get_password(self, service: str, name: str) -> str | None:
        return self.kept.get((service, name))

    def set_password(self, service: str, name: str, password: str) -> None:
        self.kept[service, name] = password


def test_the_systems_keyring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ring = _Ring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.setitem(sys.modules, "keyring.errors", ring.errors)
    with pytest.raises(ConfigError, match="nothing is kept there"):
        loaded(tmp_path, "keyring:mantlet/jwt")
    keyring.write("mantlet", "jwt", Secret(GOOD))
    assert loaded(tmp_path, "keyring:mantlet/jwt").config.auth.jwt.secret == Secret(GOOD)
    assert keyring.ensure("mantlet", "new") == keyring.ensure("mantlet", "new")


def test_without_the_extra_the_error_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(ConfigError, match=r"mantlet\[keyring\]"):
        loaded(tmp_path, "keyring:mantlet/jwt")
