import secrets
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mantlet.core.config_error import ConfigError
from mantlet.core.ports import Sealer
from mantlet.keys.files import write_secret
from mantlet.keys.seal import MAX_CHARACTERS, MAX_SALTS_KEPT, NodeSealer, open_sealer

KEY = secrets.token_bytes(32)
ONE: Sealer = NodeSealer([KEY])


@given(st.binary(max_size=200), st.binary(max_size=50))
def test_what_was_sealed_opens_under_its_context_alone(plain: bytes, context: bytes) -> None:
    sealed = ONE.seal(plain, context)
    assert ONE.open(sealed, context) == plain
    assert ONE.open(sealed, context + b"x") is None
    assert NodeSealer([KEY]).open(sealed, context) == plain, "another process of the node"
    assert NodeSealer([secrets.token_bytes(32)]).open(sealed, context) is None


def test_no_two_sealings_look_alike() -> None:
    assert len({ONE.seal(b"same", b"c") for _ in range(100)}) == 100


def test_every_changed_character_is_noticed() -> None:
    sealed = ONE.seal(b"state", b"c")
    for place in range(len(sealed)):
        for other in "A_9":
            changed = sealed[:place] + other + sealed[place + 1 :]
            assert changed == sealed or ONE.open(changed, b"c") is None


@given(st.text(max_size=200))
def test_any_text_gives_none_and_no_error(text: str) -> None:
    assert ONE.open(text, b"c") is None


@pytest.mark.parametrize("text", ["", "A", "=" * 80, "AA" * 40, "\ud800" * 80, "A" * (MAX_CHARACTERS + 1), "é" * 90])
def test_odd_text_gives_none(text: str) -> None:
    assert ONE.open(text, b"c") is None


def test_a_rotated_key_still_opens_what_it_sealed() -> None:
    new = secrets.token_bytes(32)
    sealed = ONE.seal(b"old", b"c")
    both = NodeSealer([new, KEY])
    assert both.open(sealed, b"c") == b"old"
    assert ONE.open(both.seal(b"new", b"c"), b"c") is None


def test_foreign_salts_cannot_make_it_grow() -> None:
    sealer = NodeSealer([KEY])
    for _ in range(MAX_SALTS_KEPT + 20):
        assert sealer.open(NodeSealer([KEY]).seal(b"x", b"c"), b"c") == b"x"
    assert len(sealer._derived) == MAX_SALTS_KEPT


def test_a_salt_is_left_before_its_nonces_wear_out() -> None:
    sealer = NodeSealer([KEY])
    first = sealer.seal(b"x", b"c")
    sealer._left = 0
    second = sealer.seal(b"x", b"c")
    assert first[1:16] != second[1:16]
    assert sealer.open(first, b"c") == sealer.open(second, b"c") == b"x"


def test_the_key_is_made_once_and_kept_for_the_owner(tmp_path: Path) -> None:
    """CFG-04"""
    sealed = open_sealer(tmp_path / "seal.key").seal(b"x", b"c")
    assert open_sealer(tmp_path / "seal.key").open(sealed, b"c") == b"x"
    assert open_sealer(tmp_path / "new.key", tmp_path / "seal.key").open(sealed, b"c") == b"x"


def test_a_file_that_is_no_key_is_refused(tmp_path: Path) -> None:
    write_secret(tmp_path / "seal.key", "too short")
    with pytest.raises(ConfigError, match=r"seal\.key"):
        open_sealer(tmp_path / "seal.key")
