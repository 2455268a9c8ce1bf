"""Revocation lists as they bear on connections that are open: new ones meet them in their handshake."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from mantlet.core.clock import Clock
from mantlet.policies.authenticate.mtls.revocations import Tell, stamp
from mantlet.wire import revocation_list
from mantlet.wire.revocation_list import RevocationLists

REVOKED: Final = "revoked"
ENDED: Final = "its authority's revocation list has ended"


class Lists:
    """As `Revocations`: a changed file is taken up by `look`, a bad or ended one is refused whole and the old stays."""

    def __init__(self, path: Path, ca_path: Path, clock: Clock, tell: Tell, *, is_whole_chain: bool) -> None:
        """Raises `ValueError` or `OSError` for what cannot be read."""
        self._path, self._ca_path, self._is_whole_chain = path, ca_path, is_whole_chain
        self._clock, self._tell = clock, tell
        self._stamp = stamp(path)
        self._failed: tuple[object, str] | None = None
        self._terms, self._revoked = self._load()

    def why_not(self, issuer_sha256: str | None, serial: str) -> str:
        """Why a certificate no longer counts; empty when it does. An issuer that is not known could be any."""
        if self._terms.ends_at_s <= self._clock.wall():
            return ENDED
        if issuer_sha256 is not None:
            return REVOKED if (issuer_sha256, serial) in self._revoked else ""
        return REVOKED if any(serial == revoked for _, revoked in self._revoked) else ""

    def look(self) -> None:
        """Read the file again if it has changed."""
        now = stamp(self._path)
        if now == self._stamp:
            return
        try:
            terms, revoked = self._load()
            if terms != self._terms and terms.ends_at_s <= self._clock.wall():
                raise ValueError("holds a list that has ended")
        except (OSError, ValueError) as error:
            if self._failed != (now, str(error)):  # once; the next look tries again, for a file half written
                self._failed = (now, str(error))
                self._say("error", "mtls.revocation_lists_failed", {"said": str(error)})
            return
        self._stamp, self._failed = now, None
        self._terms, self._revoked = terms, revoked
        self._say("info", "mtls.revocation_lists_loaded", {"entries": len(revoked)})

    def _say(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self._tell(level, event, {"file": str(self._path), **fields})

    def _load(self) -> tuple[RevocationLists, frozenset[tuple[str, str]]]:
        with self._path.open("rb") as file:
            pem = file.read(revocation_list.MAX_BYTES + 1)
        terms = revocation_list.read(pem, self._ca_path.read_bytes(), is_whole_chain=self._is_whole_chain)
        return terms, revocation_list.revoked_in(pem)
