"""Who a client is that starts the node itself: never nobody by omission in production."""

import json
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from mantlet.core.config_error import ConfigError
from mantlet.core.secret import Secret
from mantlet.node.config.model import Config
from mantlet.node.stdio import FIRST_LIST_MS, _patient, credential_of
from mantlet.policies.authenticate.config import ApiKeyConfig, AuthConfig

ONE = ApiKeyConfig(name="desk", key=Secret("key-of-desk"))
TWO = ApiKeyConfig(name="ci", key=Secret("key-of-ci"))


def config(environment: str, *keys: ApiKeyConfig, caller: str | None = None, enabled: bool = True) -> Config:
    whole = Config(environment=environment, auth=AuthConfig(api_keys=keys, enabled=enabled))  # type: ignore[arg-type]
    return msgspec.structs.replace(whole, stdio=msgspec.structs.replace(whole.stdio, caller=caller))


@pytest.mark.parametrize(
    ("given", "told", "name", "found"),
    [
        (config("production", ONE, caller="desk"), None, "", "key-of-desk"),
        (config("production", ONE, TWO, caller="desk"), None, "ci", "key-of-ci"),
        (config("production", ONE), Secret("a token"), "", "a token"),
        (config("production"), Secret("a token"), "", "a token"),
        (config("development", ONE), None, "", "key-of-desk"),
        (config("staging", ONE), None, "", "key-of-desk"),
    ],
)
def test_the_client_is_who_option_token_or_configuration_say(
    given: Config, told: Secret | None, name: str, found: str
) -> None:
    secret = credential_of(given, told=told, name=name)
    assert secret is not None
    assert secret.reveal() == found


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (config("production", ONE), ""),
        (config("production"), ""),
        (config("development", ONE, TWO), ""),
        (config("development"), ""),
        (config("development", ONE), "other"),
        (config("production", ONE, caller="other"), ""),
    ],
)
def test_nothing_said_is_nobody(given: Config, name: str) -> None:
    """AUTHN-02"""
    with pytest.raises(ConfigError):
        credential_of(given, told=None, name=name)


def test_without_authentication_there_is_nothing_to_say() -> None:
    assert credential_of(config("development", enabled=False), told=None) is None


def test_a_first_list_waits_for_servers_that_start() -> None:
    assert _patient(config("development")).mcp.limits.list_timeout_ms == FIRST_LIST_MS


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "says not who the client is"),
        (["--as", "nobody"], "no entry of auth.api_keys"),
        (["--token-file", "FILE"], "invalid"),
        (["--as", "desk", "--server", "nothing"], "no server called nothing"),
    ],
)
def test_who_may_not_is_told_on_stderr_and_stdout_stays_clean(tmp_path: Path, options: list[str], said: str) -> None:
    """AUTHN-10"""
    for name, text in (("token", "mk_wrong"), ("key", "mk_Qx8vT2mLp4Rk_k3Jd8sW1qZ6xV0bN5mT7cY2rL9pF4hG8aE1uI6oS3tR")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o600)
    whole = {
        "environment": "production",
        "agent": {"url": "https://gateway.example"},
        "auth": {"api_keys": [{"name": "desk", "key_file": str(tmp_path / "key")}]},
        "database": {"url": f"sqlite:///{tmp_path / 'm.db'}"},
        "audit": {"path": str(tmp_path / "audit")},
    }
    (tmp_path / "mantlet.yaml").write_text(json.dumps(whole))
    options = [option.replace("FILE", str(tmp_path / "token")) for option in options]
    done = subprocess.run(
        [sys.executable, "-m", "mantlet", "stdio", "-c", str(tmp_path / "mantlet.yaml"), *options],
        input=b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n',
        capture_output=True,
        timeout=60,
        check=False,
        env={"PATH": "/usr/bin:/bin"},
    )
    assert done.returncode != 0
    assert done.stdout == b""
    assert said.lower() in done.stderr.decode().lower()
    assert b"Traceback" not in done.stderr
