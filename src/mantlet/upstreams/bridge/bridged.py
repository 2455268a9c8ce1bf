"""An upstream that clients of both eras may call, whichever its server speaks."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from mantlet.core.call import Call, Era, Reply
from mantlet.core.ports import Upstream
from mantlet.core.refusal import EraUnavailable, MethodNotAllowed
from mantlet.upstreams.layers import transport_of


class Crossing(Protocol):
    """One direction of the bridge: takes a call that its server does not understand, gives a reply its client does."""

    async def send(self, call: Call, /) -> Reply:
        """As `core.ports.Upstream.send`."""
        ...


@runtime_checkable
class Speaks(Protocol):
    """A transport that can tell, without asking, what its server speaks."""

    @property
    def spoken(self) -> frozenset[Era] | None:
        """The eras that it refuses no call of; None while that is not known."""
        ...


class Bridged:
    """`inner` for clients of its own era, as if nothing stood before it; a crossing for the others.

    The transport alone knows what its server speaks, and says so by refusing. One that can tell beforehand is spared
    the refusal: to raise and to catch it costs 9 us a call.
    """

    def __init__(self, inner: Upstream, to_legacy: Crossing, to_modern: Crossing) -> None:
        self.inner = inner
        self._to_legacy = to_legacy
        self._to_modern = to_modern
        transport = transport_of(inner)  # itself, and not through all before it: it is asked with every call
        self._tells = transport if isinstance(transport, Speaks) else None

    @property
    def name(self) -> str:
        """As configured."""
        return self.inner.name

    async def send(self, call: Call, /) -> Reply:
        """See the port."""
        spoken = None if self._tells is None else self._tells.spoken
        if spoken is None or call.era in spoken:
            try:
                return await self.inner.send(call)
            except EraUnavailable:
                pass
        if call.hints is not None:
            call.hints.has_crossed = True
        return await (self._to_legacy if call.era == "modern" else self._to_modern).send(call)

    async def health(self) -> Mapping[str, Any]:
        """The server's."""
        return await self.inner.health()


class Unbridged:
    """`inner` where the bridge is off: clients of the other era are told so in words that they know."""

    def __init__(self, inner: Upstream) -> None:
        self.inner = inner

    @property
    def name(self) -> str:
        """As configured."""
        return self.inner.name

    async def send(self, call: Call, /) -> Reply:
        """See the port."""
        try:
            return await self.inner.send(call)
        except EraUnavailable as error:
            if call.kind not in ("stream", "end"):
                raise
            # To a legacy client a revision that is not served and a stream that is not offered look different.
            raise MethodNotAllowed("POST", error.detail) from error

    async def health(self) -> Mapping[str, Any]:
        """The server's."""
        return await self.inner.health()
