"""The calls on a channel that one session has to itself."""

from typing import Protocol

import msgspec

from mantlet.upstreams.transports.channel.envelope import Incoming
from mantlet.upstreams.transports.channel.mux import Mux, Pending


class Client(Protocol):
    """Who hears what the server says beside its answers and their progress."""

    def asked(self, message: Incoming, /) -> bytes | None:
        """A request of the server; gives a line to answer it with at once."""
        ...

    def told(self, method: str, params: msgspec.Raw, /) -> None:
        """A notification."""
        ...


class SessionMux(Mux):
    """As on a shared channel, but nothing has to be guessed: all that comes is for one client."""

    def __init__(self, *, max_pending: int, client: Client) -> None:
        super().__init__(max_pending=max_pending, broadcast=_nothing)
        self._client = client

    def last_streaming(self) -> Pending | None:
        """The newest call in flight whose reply may be a stream."""
        for pending in reversed(self._pending.values()):
            if pending.wants_log:
                return pending
        return None

    def _request(self, message: Incoming) -> bytes | None:
        self.counters.requests += 1
        return self._client.asked(message)

    def _notification(self, method: str, params: msgspec.Raw) -> None:
        if method == "notifications/progress":
            self._progress(params)
        else:
            self._client.told(method, params)


def _nothing(_method: str, _uri: str, _body: bytes) -> None:
    """On this channel nothing is for everyone."""
