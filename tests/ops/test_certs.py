"""Certificates on disk: owner-only, never overwritten."""

from pathlib import Path

import pytest

from mantlet.core.config_error import ConfigError
from mantlet.ops import certs


def test_everything_is_owner_only_and_nothing_is_overwritten(tmp_path: Path) -> None:
    folder = tmp_path / "certs"
    certs.authority(folder, "Test", 30)
    written = certs.server(folder, "server", ["localhost"], 5)
    certs.client(folder, "client", ["spiffe://example/a"], [], 5)
    assert Path(written.certificate_file) == folder / "server.pem"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        f"{name}.{kind}": 0o600 for name in ("ca", "server", "client") for kind in ("pem", "key")
    }
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    for again in (
        lambda: certs.authority(folder, "Test", 30),
        lambda: certs.server(folder, "server", ["localhost"], 5),
        lambda: certs.client(folder, "client", ["spiffe://example/a"], [], 5),
    ):
        with pytest.raises(ConfigError, match="already"):
            again()
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_half_a_pair_stands_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("mine")
    with pytest.raises(ConfigError, match="already"):
        certs.authority(tmp_path, "Test", 30)
    assert [path.name for path in tmp_path.iterdir()] == ["ca.pem"]


def test_without_an_authority_nothing_is_signed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not there"):
        certs.server(tmp_path, "server", ["localhost"], 5)


@pytest.mark.parametrize("file", ["", "../x", ".x", "a/b"])
def test_a_file_name_is_a_name(tmp_path: Path, file: str) -> None:
    certs.authority(tmp_path, "Test", 30)
    with pytest.raises(ConfigError, match="name of a file"):
        certs.server(tmp_path, file, ["localhost"], 5)


def test_an_authority_whose_key_others_may_read_signs_nothing(tmp_path: Path) -> None:
    certs.authority(tmp_path, "Test", 30)
    (tmp_path / "ca.key").chmod(0o644)
    with pytest.raises(ConfigError, match="others may use it"):
        certs.server(tmp_path, "server", ["localhost"], 5)


def test_a_revocation_list_grows_and_is_replaced_whole(tmp_path: Path) -> None:
    """TLS-02"""
    certs.authority(tmp_path, "Test", 30)
    client = certs.client(tmp_path, "client", ["spiffe://example/a"], [], 5)
    assert certs.revocation_list(tmp_path, [], 7).revoked == ()
    assert certs.revocation_list(tmp_path, ["0A:1B"], 7).revoked == ("a1b",)
    written = certs.revocation_list(tmp_path, [client.certificate_file], 2)
    assert written.revoked == ("a1b", client.serial)
    assert Path(written.list_file).stat().st_mode & 0o777 == 0o600
    assert certs.revocation_list(tmp_path, ["a1b"], 2).revoked == ("a1b", client.serial)


def test_what_is_not_the_authoritys_is_neither_revoked_nor_taken_over(tmp_path: Path) -> None:
    certs.authority(tmp_path, "Test", 30)
    certs.authority(tmp_path / "other", "Test", 30)
    stranger = certs.client(tmp_path / "other", "client", ["spiffe://example/a"], [], 5)
    certs.revocation_list(tmp_path / "other", [], 7)
    refused = [stranger.certificate_file, str(tmp_path / "ca.pem"), "no number", "-1"]
    for one in refused:
        with pytest.raises(ConfigError):
            certs.revocation_list(tmp_path, [one], 7)
    assert not (tmp_path / "ca.crl").exists()
    (tmp_path / "other" / "ca.crl").rename(tmp_path / "ca.crl")
    with pytest.raises(ConfigError, match="not this authority's"):
        certs.revocation_list(tmp_path, [], 7)
