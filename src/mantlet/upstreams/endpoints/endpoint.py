"""One endpoint: a transport with a pool of its own, what is known of its health, and what is under way there."""

from collections.abc import Callable
from typing import Any, Final, Protocol

from mantlet.core.call import Call, Era, Reply
from mantlet.core.headers import Headers
from mantlet.upstreams.balance.rendezvous import seed_of
from mantlet.upstreams.client.pool import Pool
from mantlet.upstreams.endpoints.load import utilization
from mantlet.upstreams.health.prober import Prober
from mantlet.upstreams.health.state import Health

LEAST_ROOM: Final = 0.05
"""What is left of the share of one that says it has no room: it is asked now and then, and tells when it has."""
MARK_BYTES: Final = 16


def mark_of(url: str) -> bytes:
    """What session ids of the endpoint at `url` begin with, below their seal: the same in every process, and after
    other endpoints come and go. Visible ASCII of one length."""
    return b"%016x" % seed_of(url)


class Transport(Protocol):
    """What carries calls to one URL."""

    on_headers: Callable[[Headers], None] | None

    async def send(self, call: Call, /) -> Reply:
        """See `core.ports.Upstream`. `UpstreamUnavailable` and `Overloaded` mean that nothing was sent."""
        ...

    @property
    def spoken(self) -> frozenset[Era] | None:
        """The eras that are known to be served there; None where that is not known."""
        ...

    @property
    def pool(self) -> Pool:
        """Its connections."""
        ...


class Breaker(Protocol):
    """See `upstreams.breaker`."""

    @property
    def state(self) -> str:
        """`closed`, `open` or `half_open`."""
        ...

    @property
    def retry_after_s(self) -> float:
        """When asking again may help."""
        ...

    def admit(self) -> int | None:
        """A ticket, or None: no call now."""
        ...

    def succeeded(self, ticket: int, elapsed_s: float = 0.0) -> None:
        """The call got an answer."""
        ...

    def failed(self, ticket: int) -> None:
        """It failed by the server's fault."""
        ...

    def cancelled(self, ticket: int) -> None:
        """Its end says nothing."""
        ...


class Endpoint:
    """As pickers see it (`balance.Candidate`), and what `Endpoints` keeps of it."""

    __slots__ = ("_load_at_s", "_share", "_utilization", "_weight", "breaker", "cost", "health", "in_flight", "mark",
                 "name", "prober", "seed", "transport", "url", "zone")  # fmt: skip

    def __init__(
        self,
        name: str,
        url: str,
        transport: Transport,
        health: Health,
        *,
        weight: float = 1.0,
        zone: str = "",
        breaker: Breaker | None = None,
    ) -> None:
        self.name = name
        self.url = url
        self.transport = transport
        self.health = health
        self.zone = zone
        self.breaker = breaker
        self.prober: Prober | None = None
        self.mark = mark_of(url)
        self.seed = seed_of(url)
        self.in_flight = 0
        """Calls under way, streams until their end."""
        self._weight = weight
        self._share = 1.0
        self._utilization = 0.0
        self._load_at_s = -float("inf")
        self.cost = 1.0 / weight
        """The inverse of its weight as it is now."""

    def weigh(self, share: float) -> bool:
        """Take `share` of its weight; whether that changed anything."""
        if share == self._share:
            return False
        self._share = share
        self._cost()
        return True

    def loaded(self, headers: Headers, now_s: float) -> None:
        """Take what an answer says of its load."""
        told = utilization(headers)
        if told is not None:
            self._utilization, self._load_at_s = told, now_s
            self._cost()

    def forget_load(self, before_s: float) -> None:
        """What it said before then is not believed any more: else one that was busy would never be asked again."""
        if self._utilization and self._load_at_s < before_s:
            self._utilization = 0.0
            self._cost()

    def report(self) -> dict[str, Any]:
        """For people."""
        pool, spoken = self.transport.pool, self.transport.spoken
        return {
            "name": self.name,
            "url": self.url.partition("?")[0],
            "state": self.health.state,
            "reasons": list(self.health.reasons),
            "in_flight": self.in_flight,
            "weight": self._weight,
            "share": self._share,
            **({"zone": self.zone} if self.zone else {}),
            **({"load": self._utilization} if self._utilization else {}),
            **({} if self.breaker is None else {"breaker": self.breaker.state}),
            **({} if spoken is None else {"eras": sorted(spoken)}),
            "connections": {"open": pool.open, "idle": pool.idle, "waiting": pool.waiting, "opened": pool.opened},
        }

    def left(self) -> None:
        """One of the streams that are under way is over."""
        self.in_flight -= 1

    def _cost(self) -> None:
        self.cost = 1.0 / (self._weight * self._share * max(LEAST_ROOM, 1.0 - self._utilization))
