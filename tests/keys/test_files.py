import os
import stat
import threading
from pathlib import Path

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.keys.files import MAX_BYTES, ensure_secret, read_public, read_secret, write_secret


def test_a_secret_is_written_for_its_owner_alone(tmp_path: Path) -> None:
    """CFG-04"""
    file = tmp_path / "keys" / "a.key"
    write_secret(file, "hush\n")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert read_secret(file).reveal() == "hush"
    assert [path.name for path in file.parent.iterdir()] == ["a.key"]


def test_a_secret_never_replaces_another_unasked(tmp_path: Path) -> None:
    write_secret(tmp_path / "a", "first")
    with pytest.raises(FileExistsError):
        write_secret(tmp_path / "a", "second")
    assert read_secret(tmp_path / "a").reveal() == "first"
    write_secret(tmp_path / "a", "third", replace=True)
    assert read_secret(tmp_path / "a").reveal() == "third"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o602, 0o610, 0o777])
def test_a_file_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    """CFG-04"""
    file = tmp_path / "a"
    write_secret(file, "hush-hush")
    file.chmod(mode)
    with pytest.raises(ConfigError) as caught:
        read_secret(file)
    assert str(file) in str(caught.value)
    assert "chmod 600" in caught.value.hint
    assert "hush" not in str(caught.value)


def test_a_public_file_may_be_read_but_not_written_by_others(tmp_path: Path) -> None:
    file = tmp_path / "a.pub"
    file.write_text("public")
    file.chmod(0o644)
    assert read_public(file) == "public"
    file.chmod(0o664)
    with pytest.raises(ConfigError):
        read_public(file)


def test_what_is_no_secret_file_is_named(tmp_path: Path) -> None:
    fifo, empty, large, binary = (tmp_path / name for name in ("fifo", "empty", "large", "binary"))
    os.mkfifo(fifo, 0o600)
    for file, content in ((empty, b"\n"), (large, b"x" * (MAX_BYTES + 1)), (binary, b"\xff\xfehush")):
        file.write_bytes(content)
        file.chmod(0o600)
    for file in (fifo, empty, large, binary, tmp_path, tmp_path / "absent"):
        with pytest.raises(ConfigError, match=str(file)) as caught:
            read_secret(file)
        assert "hush" not in str(caught.value)


def test_all_who_start_together_end_with_one_secret(tmp_path: Path) -> None:
    start, found = threading.Barrier(8), []

    def make(number: int) -> None:
        start.wait()
        found.append(ensure_secret(tmp_path / "a", lambda: f"secret-{number}").reveal())

    threads = [threading.Thread(target=make, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1
