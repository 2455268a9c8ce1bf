from pathlib import Path

from mantlet.core.api_key import hash_of, id_of
from mantlet.core.weak_secret import why_weak
from mantlet.keys.api_keys import make_api_key, read_pepper


def test_a_made_key_has_the_shape_and_hides_itself() -> None:
    """AUTHN-05"""
    key_id, key = make_api_key()
    assert id_of(key.reveal().encode()) == key_id
    assert len(key.reveal()) == 3 + 12 + 1 + 43
    assert key.reveal() not in repr(key) + str(key) + f"{key}"
    assert len({make_api_key()[0] for _ in range(100)}) == 100
    assert not why_weak(key.reveal())


def test_a_hash_depends_on_the_pepper_and_is_no_key(tmp_path: Path) -> None:
    """AUTHN-05"""
    _, key = make_api_key()
    pepper = read_pepper(tmp_path / "pepper.key")
    assert pepper == read_pepper(tmp_path / "pepper.key")
    assert len(pepper) >= 32
    stored = hash_of(key.reveal().encode(), pepper)
    assert stored != hash_of(key.reveal().encode(), b"another pepper of the same length")
    assert id_of(stored.encode()) is None


def test_anything_odd_has_no_id() -> None:
    """AUTHN-05"""
    _, key = make_api_key()
    good = key.reveal().encode()
    for odd in (good + b"\n", good[:-1], good + b"a", good.upper(), b"x" + good, good.replace(b"_", b"'"), b"", b"mk_"):
        assert id_of(odd) is None
