from pathlib import Path

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.events.config import AuditConfig
from mantlet.ops.trail import verify_trail


def test_a_verifier_makes_no_keys(tmp_path: Path) -> None:
    """AUD-07: with a fresh key every trail would look forged, and the next start would use it."""
    config = AuditConfig(path=str(tmp_path / "audit"))
    with pytest.raises(ConfigError, match="cannot be read"):
        verify_trail(config)
    assert list(tmp_path.iterdir()) == []


def test_keys_given_by_hand_are_checked(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_bytes(b"k" * 32)
    with pytest.raises(ConfigError, match="no public key"):
        verify_trail(None, path=tmp_path, chain_key=key, public_key=key)
    with pytest.raises(ConfigError, match="is needed"):
        verify_trail(None, path=tmp_path)
    assert verify_trail(None, path=tmp_path / "none", chain_key=key).exit_code == 2
