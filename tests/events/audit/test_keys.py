from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mantlet.events.audit.keys import key_paths, load_or_create, public_key_path
from mantlet.events.config import AuditConfig


def config(tmp_path: Path) -> AuditConfig:
    return AuditConfig(path=str(tmp_path / "audit"))


def test_keys_are_made_once_and_for_this_user_alone(tmp_path: Path) -> None:
    one, two = load_or_create(config(tmp_path)), load_or_create(config(tmp_path))
    assert one.chain == two.chain
    assert one.signing.private_bytes_raw() == two.signing.private_bytes_raw()
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in key_paths(config(tmp_path)))
    assert public_key_path(config(tmp_path)).read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    assert sorted(path.name for path in (tmp_path / "keys").iterdir()) == [
        "audit-chain.key",
        "audit-signing.key",
        "audit-signing.pub",
    ]


def test_workers_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    """AUD-04"""
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: load_or_create(config(tmp_path)), range(8)))
    assert len({key.chain for key in keys}) == 1
    assert len({key.signing.private_bytes_raw() for key in keys}) == 1


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    load_or_create(config(tmp_path))
    key_paths(config(tmp_path))[0].chmod(0o644)
    with pytest.raises(PermissionError, match="chmod 600"):
        load_or_create(config(tmp_path))


def test_a_short_key_is_refused(tmp_path: Path) -> None:
    load_or_create(config(tmp_path))
    key_paths(config(tmp_path))[0].write_bytes(b"short")
    with pytest.raises(ValueError, match="32 bytes"):
        load_or_create(config(tmp_path))


def test_keys_have_no_readable_form(tmp_path: Path) -> None:
    """AUD-06"""
    keys = load_or_create(config(tmp_path))
    assert repr(keys.chain) not in repr(keys)
