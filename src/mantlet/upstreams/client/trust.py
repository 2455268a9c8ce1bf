"""The TLS context of an upstream with revocation lists (`tls.crl_file`), which are renewed while it is spoken to."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from mantlet.core.clock import Clock
from mantlet.upstreams.client.config import TlsConfig
from mantlet.upstreams.client.tls import context

LOOK_S: Final = 2.0
"""How often the file is looked at, by whoever has something to send."""

Stamp = tuple[int, ...] | None


class Trust:
    """`context` is what the next connection opens with; connections from before a new list are for closing.

    A bad file is not taken up, and the lists in force stay until they end: from then on OpenSSL refuses every server.
    Raises as `context` for what cannot be used at first.
    """

    def __init__(self, config: TlsConfig, alpn: Sequence[str], clock: Clock) -> None:
        self._config, self._alpn, self._clock = config, tuple(alpn), clock
        self._path = Path(config.crl_file or "")
        self._stamp = self._state()
        self._next_s = clock.monotonic() + LOOK_S
        self.context: ssl.SSLContext = context(config, alpn)
        self.why_not = ""
        """Why the file as it is now was not taken up."""

    def look(self) -> bool:
        """Take up a changed file; whether that was done."""
        now_s = self._clock.monotonic()
        if now_s < self._next_s:
            return False
        self._next_s = now_s + LOOK_S
        stamp = self._state()
        if stamp == self._stamp:
            return False
        try:
            made = context(self._config, self._alpn)
        except (OSError, ValueError) as error:  # half written, or gone: the next look tries again
            self.why_not = str(error)
            return False
        self.context, self._stamp, self.why_not = made, stamp, ""
        return True

    def _state(self) -> Stamp:
        try:
            state = self._path.stat()  # of what a link leads to: Kubernetes renews by changing the link
        except OSError:
            return None
        return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


def trust(config: TlsConfig, alpn: Sequence[str], clock: Clock) -> Trust | None:
    """That of `config`, or None where a context once made is good for ever."""
    return None if config.crl_file is None else Trust(config, alpn, clock)


def why_refused(lists: Trust | None, error: ssl.SSLCertVerificationError) -> str:
    """Why a server's certificate was not taken, with what keeps newer lists out."""
    told = f"its certificate is not acceptable: {error.verify_message}"
    if lists is None or not lists.why_not:
        return told
    return f"{told} (newer revocation lists were not taken up: {lists.why_not})"
