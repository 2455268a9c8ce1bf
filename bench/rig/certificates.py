"""A private authority for one run, and certificates of a listener on loopback."""

from collections.abc import Mapping
from pathlib import Path

from mantlet.ops import certs

DAYS = 30.0


def authority(folder: Path) -> Path:
    """Make one in `folder`; gives the file that clients are told to trust."""
    return Path(certs.authority(folder, "bench", 2 * DAYS).certificate_file)


def sign(folder: Path, name: str) -> Mapping[str, str]:
    """A new pair by the authority in `folder`, as the section `tls` names it."""
    made = certs.server(folder, name, ["localhost", "127.0.0.1"], DAYS)
    return {"cert_file": made.certificate_file, "key_file": made.key_file}
