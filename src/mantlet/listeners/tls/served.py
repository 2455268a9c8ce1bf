"""The certificate that a listener shows, and its renewal while the listener serves (TLS-05).

A new pair becomes a whole new context, and the one reference that accepting reads is replaced: connections open with
the old one or the new one, never with half of each, and those that are open know nothing of it. (Loading a chain into
the live context would leave it broken between certificate and key.)
"""

import asyncio
import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from mantlet.core.certificate import PeerCertificate
from mantlet.core.clock import Clock
from mantlet.listeners.tls.config import Authority, TlsConfig
from mantlet.listeners.tls.context import HTTP_1, authority_of, open_context
from mantlet.listeners.tls.expiry import Validity, days_left, urgency, why_unfit
from mantlet.listeners.tls.failures import certificate_reason_of, reason_of
from mantlet.wire.revocation_list import RevocationLists

LOOK_S: Final = 2.0
"""How often the files are looked at."""

Tell = Callable[[str, str, Mapping[str, Any]], None]
"""Level (`info`, `warning`, `error`), event, fields: what people should know."""
Count = Callable[..., None]
"""As `events.metrics.Metrics.count`: a family and its labels."""
Stamp = tuple[tuple[int, ...] | None, ...]

_SAID: Final = {1: ("warning", "tls.expires_soon"), 2: ("error", "tls.expires_soon"), 3: ("error", "tls.expired")}


def no_tell(level: str, event: str, fields: Mapping[str, Any]) -> None:
    """Tell nobody."""


def no_count(family: str, *labels: str) -> None:
    """Count nothing."""


class Served:
    """One listener's. `context` is what the next connection opens with."""

    def __init__(
        self,
        listener: str,
        config: TlsConfig,
        *,
        clock: Clock,
        alpn: Sequence[str] = HTTP_1,
        callers: Authority | None = None,
        tell: Tell = no_tell,
        count: Count = no_count,
        why_exposed: Callable[[Path], str] | None = None,
    ) -> None:
        """Raises `OSError`, `ValueError` or `ssl.SSLError` for files that do not serve.

        `why_exposed` says of a key file why it is not safe, or nothing.
        """
        self.listener = listener
        authority = authority_of(config, callers)
        self.asks_for_certificates = authority is not None
        self._config, self._alpn, self._callers = config, tuple(alpn), callers
        self._clock, self._tell, self._count, self._why_exposed = clock, tell, count, why_exposed
        named = (config.cert_file, config.key_file, *(authority or ())[:2])
        self._files = tuple(Path(name) for name in named if name is not None)
        self._loaded = self._seen = self._stamp()
        self._failed: tuple[Stamp, str] | None = None
        self.context, self.validity, self.lists = self._open()
        self._urgency = self._lists_urgency = 0
        self.warn()

    def look(self) -> None:
        """Reload when the files have changed since they were loaded; call it every `LOOK_S`."""
        self.warn()
        stamp = self._stamp()
        if stamp == self._loaded:
            self._seen = stamp
        elif stamp == self._seen:
            self.reload()
        else:
            # Seen for the first time: a pair is written one file after the other, and may be half here.
            self._seen = stamp

    def reload(self) -> bool:
        """Take the files as they are now, or keep what is served and say why. Whether it now serves them."""
        stamp = self._stamp()
        try:
            made, validity, lists = self._open()
            if why := why_unfit(validity, self._clock.wall()):
                raise ValueError(f"the certificate {why}")
            # One that has ended in force must not keep a new certificate out.
            if lists is not None and lists != self.lists and (why := why_unfit(_term(lists), self._clock.wall())):
                raise ValueError(f"crl_file: a list {why}")
            if self._why_exposed is not None and (why := self._why_exposed(self._files[1])):
                raise ValueError(f"the key file {why}")
        except (OSError, ValueError) as error:
            said = _words(error)
            if self._failed != (stamp, said):  # once, though it is tried at every look: time alone may mend it
                self._failed = (stamp, said)
                self._tell("error", "tls.reload_failed", {"listener": self.listener, "said": said})
            return False
        self.context, self.validity, self.lists = made, validity, lists
        self._loaded = self._seen = stamp
        self._failed, self._urgency, self._lists_urgency = None, 0, 0
        left = days_left(validity, self._clock.wall())
        self._tell("info", "tls.reloaded", {"listener": self.listener, "days_left": left})
        self.warn()
        return True

    def warn(self) -> None:
        """Say once that the certificate is to end in 30 days, once that it is in 7, once that it has.

        Of revocation lists, which live for days, only the last tenth and the end are news.
        """
        now_s = self._clock.wall()
        level = urgency(self.validity, now_s)
        if level > self._urgency:
            how, event = _SAID[level]
            self._tell(how, event, {"listener": self.listener, "days_left": days_left(self.validity, now_s)})
        self._urgency = max(level, self._urgency)
        level = 0 if self.lists is None else urgency(_term(self.lists), now_s)
        if self.lists is not None and level > max(self._lists_urgency, 1):
            event = "tls.revocation_list_ended" if level > 2 else "tls.revocation_list_ends_soon"
            left_s = round(self.lists.ends_at_s - now_s)
            self._tell("error", event, {"listener": self.listener, "seconds_left": left_s})
        self._lists_urgency = max(level, self._lists_urgency)

    def shown_by(self, transport: asyncio.BaseTransport) -> PeerCertificate | None:
        """What the client at the other end showed; None when it showed none, or was not asked.

        Raises `ValueError` for one that cannot be read.
        """
        if not self.asks_for_certificates:
            return None
        from mantlet.listeners.tls.certificate import shown_by

        return shown_by(transport)

    def failed(self, error: BaseException) -> None:
        """Count a handshake that ended with `error`."""
        self._count("mantlet_tls_handshake_failures", self.listener, reason_of(error))
        if why := certificate_reason_of(error):
            self._count("mantlet_certificate_failures", "client", why)

    def _open(self) -> tuple[ssl.SSLContext, Validity, RevocationLists | None]:
        made = open_context(self._config, alpn=self._alpn, callers=self._callers)
        if made is None:
            raise ValueError("tls: cert_file and key_file are not set")
        # Here, because reading the configuration imports this room, and few configurations have TLS: 60 ms.
        from mantlet.listeners.tls.certificate import validity_of

        return made.context, validity_of(self._files[0]), made.lists

    def _stamp(self) -> Stamp:
        return tuple(_state(path) for path in self._files)


def _term(lists: RevocationLists) -> Validity:
    return Validity(lists.issued_at_s, lists.ends_at_s)


def _words(error: OSError | ValueError) -> str:
    if isinstance(error, ssl.SSLError):
        if error.reason == "KEY_VALUES_MISMATCH":
            return "the key is not the certificate's"
        return (
            f"a certificate or key file is not whole PEM of a kind that OpenSSL takes ({error.reason or 'unreadable'})"
        )
    return str(error)


def _state(path: Path) -> tuple[int, ...] | None:
    try:
        state = path.stat()  # of what a link leads to: Kubernetes renews by changing the link
    except OSError:
        return None
    return (state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)


class Certificates:
    """All that one process serves, looked after together: by one task, and on SIGHUP."""

    def __init__(
        self,
        *,
        clock: Clock,
        tell: Tell = no_tell,
        count: Count = no_count,
        why_exposed: Callable[[Path], str] | None = None,
    ) -> None:
        self._clock, self._tell, self._count, self._why_exposed = clock, tell, count, why_exposed
        self._served: list[Served] = []

    def serve(
        self,
        listener: str,
        config: TlsConfig,
        *,
        alpn: Sequence[str] = HTTP_1,
        callers: Authority | None = None,
    ) -> Served | None:
        """What `listener` is to show; None when its TLS is off. Raises as `Served` does."""
        if not config.is_on:
            return None
        served = Served(
            listener,
            config,
            clock=self._clock,
            alpn=alpn,
            callers=callers,
            tell=self._tell,
            count=self._count,
            why_exposed=self._why_exposed,
        )
        self._served.append(served)
        return served

    def look(self) -> None:
        """Take up what has changed."""
        for served in self._served:
            served.look()

    def reload(self) -> None:
        """Take up all files now, changed or not."""
        for served in self._served:
            served.reload()

    @property
    def first_end_s(self) -> float:
        """When the first of them ends, Unix time; infinite without any."""
        return min((served.validity.ends_at_s for served in self._served), default=float("inf"))

    @property
    def first_list_end_s(self) -> float:
        """When the first of their revocation lists ends, Unix time; infinite without any."""
        ends = (served.lists.ends_at_s for served in self._served if served.lists is not None)
        return min(ends, default=float("inf"))
