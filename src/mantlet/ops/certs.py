"""Certificates on disk: an authority's folder, and what it signs beside it."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from mantlet.core.config_error import ConfigError
from mantlet.keys.certificates import Made, make_authority, make_client, make_list, make_server, serial_of
from mantlet.keys.files import read_public, read_secret, write_secret

AUTHORITY: Final = "ca"


@dataclass(frozen=True, slots=True)
class Written:
    """What now lies where."""

    certificate_file: str
    key_file: str
    serial: str
    ends_at: str


def authority(folder: Path, name: str, days: float) -> Written:
    """Make an authority. Raises `ConfigError`, also when there is one: what it signed would be orphaned."""
    return _write(folder, AUTHORITY, lambda: make_authority(name, days, _now()))


def server(folder: Path, file: str, names: Sequence[str], days: float) -> Written:
    """Sign a listener's certificate. Raises `ConfigError`."""
    return _write(folder, file, lambda: make_server(_authority(folder), names, days, _now()))


def client(folder: Path, file: str, uris: Sequence[str], dns_names: Sequence[str], days: float) -> Written:
    """Sign a caller's certificate. Raises `ConfigError`."""
    return _write(folder, file, lambda: make_client(_authority(folder), uris, dns_names, days, _now()))


@dataclass(frozen=True, slots=True)
class List:
    """A revocation list as it now lies there."""

    list_file: str
    revoked: tuple[str, ...]
    ends_at: str


def revocation_list(folder: Path, revoked: Sequence[str], days: float) -> List:
    """Sign the authority's list anew: what the last one revoked, and `revoked`, each a serial number in hexadecimal or
    the file of a certificate. Raises `ConfigError`.

    It is the one file here that is replaced, whole: a list is made to be renewed.
    """
    path = folder / f"{AUTHORITY}.crl"
    root = _authority(folder)
    before = read_public(path) if path.exists() else ""
    try:
        made = make_list(root, [_serial(one, root) for one in revoked], days, _now(), before)
        write_secret(path, made.text, replace=True)
    except (ValueError, OSError) as error:
        raise ConfigError(str(path), f"cannot be made: {error}") from error
    return List(str(path), made.serials, made.ends_at)


def _serial(text: str, root: Made) -> int:
    path = Path(text)
    if path.suffix and path.exists():
        return serial_of(read_public(path), root)
    try:
        return int(text.replace(":", ""), 16)
    except ValueError:
        raise ConfigError(
            text, "is neither a certificate's file nor a serial number", "agent-a.pem, or 4e05b0e4"
        ) from None


def _authority(folder: Path) -> Made:
    paths = _paths(folder, AUTHORITY)
    if not paths[0].exists():
        raise ConfigError(str(paths[0]), "is not there", f"`mantlet certs ca --dir {folder}` makes an authority")
    return Made(read_public(paths[0]), read_secret(paths[1]).reveal(), "", "")


def _write(folder: Path, file: str, make: Callable[[], Made]) -> Written:
    if not file or "/" in file or file.startswith("."):
        raise ConfigError("--out", f"{file!r} is no name of a file", "a name without a folder and ending")
    certificate_path, key_path = _paths(folder, file)
    for path in (certificate_path, key_path):
        if path.exists():
            raise ConfigError(str(path), "is there already", "nothing is overwritten; move it away or choose --out")
    try:
        made = make()
        write_secret(key_path, made.key)
        try:
            write_secret(certificate_path, made.certificate)
        except BaseException:
            with suppress(FileNotFoundError):
                key_path.unlink()  # of no use to anybody, and it would stand in the way of the next try
            raise
    except (ValueError, OSError) as error:
        raise ConfigError(str(certificate_path), f"cannot be made: {error}") from error
    return Written(str(certificate_path), str(key_path), made.serial, made.ends_at)


def _paths(folder: Path, file: str) -> tuple[Path, Path]:
    return folder / f"{file}.pem", folder / f"{file}.key"


def _now() -> datetime:
    return datetime.fromtimestamp(int(time.time()), UTC)
