"""What all connections of the TCP listener share: its configuration, who is connected, and how one gets in."""

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.caller import Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.headers import Headers
from mantlet.core.key_proof import KeyProof
from mantlet.core.policy import ArrivalHandler
from mantlet.core.record import Trail
from mantlet.core.refusal import NotFound, Unauthenticated
from mantlet.listeners.accept.seats import Seats
from mantlet.listeners.messages.carrier import Terms
from mantlet.listeners.messages.exchange import Whole
from mantlet.listeners.tcp.config import TcpConfig

if TYPE_CHECKING:
    from mantlet.listeners.tcp.connection import TcpConnection

ENDPOINT: Final = "/mcp"
AUTH: Final = "auth"


@dataclass(slots=True)
class TcpDoor:
    """Touched by its event loop only. `opening` records and authenticates, and raises what it refuses."""

    config: TcpConfig
    terms: Terms
    opening: ArrivalHandler
    endpoints: Collection[str]
    guests: "set[TcpConnection]" = field(default_factory=set)
    seats: Seats = field(init=False)
    now_s: float = 0.0
    """Monotonic, as of the last sweep."""
    served: int = 0
    """Connections so far; the next one's id."""

    def __post_init__(self) -> None:
        self.seats = Seats(self.config.max_connections, self.config.per_address_connections)

    def sweep(self) -> None:
        """Look at the clock once for everybody."""
        now_s = self.now_s = self.terms.clock.monotonic()
        for guest in [g for g in self.guests if g.receive_deadline_s <= now_s or g.write_deadline_s <= now_s]:
            guest.expire(now_s)

    async def authenticate(
        self,
        raw_id: bytes,
        token: str | None,
        server: str,
        peer: str,
        certificate: PeerCertificate | None,
        proof: KeyProof | None,
    ) -> tuple[Caller, str]:
        """Who an `auth` message is from, and the endpoint it asks for.

        Raises `NotFound`, and what `opening` refuses.
        """
        terms = self.terms
        trail = Trail(terms.new_id(), terms.door, peer, terms.clock.wall(), action=f"AUTH {ENDPOINT}")
        trail.rpc_id = raw_id
        fields = [] if token is None else [(b"authorization", b"Bearer " + token.encode())]
        deadline_s = terms.clock.monotonic() + self.config.auth_timeout
        arrival = Arrival(
            "POST",
            ENDPOINT,
            b"",
            Headers(fields),
            peer,
            Whole(b"").read,
            deadline_s,
            trail,
            terms.is_tls,
            is_message=True,
            peer_certificate=certificate,
            proof=proof,
        )
        path = f"{ENDPOINT}/{server}" if server else ENDPOINT
        if path in self.endpoints:  # not a stranger's own word: names become labels
            trail.server = path.removeprefix(ENDPOINT).removeprefix("/")
        await self.opening(arrival)
        if path not in self.endpoints:
            raise NotFound
        if arrival.caller is None:
            raise Unauthenticated
        return arrival.caller, path


async def opened(arrival: Arrival) -> Reply:
    """What stands behind the steps of an opening."""
    return Reply(200, [], origin="node")
