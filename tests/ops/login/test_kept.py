"""Logins on a user's machine: sealed, and each bound to the node it is for."""

from pathlib import Path

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.ops.login.kept import Kept, Logins

ONE, OTHER = "https://one.example/mcp", "https://other.example/mcp"


def kept(node: str, token: str) -> Kept:
    return Kept(
        node=node,
        issuer="https://issuer.example",
        client_id="c",
        resource=node,
        token_endpoint="https://issuer.example/token",
        revocation_endpoint="",
        access_token=token,
        expires_at_s=1.0,
        refresh_token=f"refresh-{token}",
    )


def test_what_is_kept_for_one_node_does_not_open_in_the_place_of_another(tmp_path: Path) -> None:
    """FWD-04"""
    logins = Logins(tmp_path)
    files = {}
    for node, token in ((ONE, "secret-one"), (OTHER, "secret-other")):
        before = set(tmp_path.glob("*.login"))
        logins.put(kept(node, token))
        [files[node]] = set(tmp_path.glob("*.login")) - before
    assert all(b"secret" not in file.read_bytes() for file in files.values())
    files[OTHER].write_bytes(files[ONE].read_bytes())
    with pytest.raises(ConfigError) as refused:
        logins.find(OTHER)
    assert "secret" not in str(refused.value)
    found = logins.find(ONE)
    assert found is not None
    assert found.access_token == "secret-one"


def test_without_the_key_nothing_opens(tmp_path: Path) -> None:
    """FWD-04"""
    Logins(tmp_path / "a").put(kept(ONE, "secret-one"))
    [file] = (tmp_path / "a").glob("*.login")
    Logins(tmp_path / "b").put(kept(ONE, "secret-two"))
    [other] = (tmp_path / "b").glob("*.login")
    other.write_bytes(file.read_bytes())
    with pytest.raises(ConfigError):
        Logins(tmp_path / "b").find(ONE)
