"""From a name to addresses that may be connected to: resolved off the loop, checked, and remembered for seconds.

What is handed on are addresses and never the name: a second answer of the name server, made for after the check
(DNS re-binding), is never asked for.
"""

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from typing import Final

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.refusal import EgressDenied, Refusal, UpstreamUnavailable
from mantlet.core.tasks import Tasks
from mantlet.upstreams.egress.addresses import Address
from mantlet.upstreams.egress.hosts import literal, why_odd
from mantlet.upstreams.egress.rules import Destination, Rules, destination, in_turn

KNOWN_S: Final = 5.0
"""How long an answer is used without asking again: a reconnecting upstream costs one question, and one that moved is
found soon. Below every sane TTL."""
REFUSED_S: Final = 1.0
MAX_KNOWN: Final = 1_024
MAX_ADDRESSES: Final = 16
"""Tried of one name; all are checked."""
RESOLVE_S: Final = 5.0
MAX_RESOLVING: Final = 64
"""Names asked about at once: each takes a thread of the loop's pool."""

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
OnRefused = Callable[[Destination, str], None]
"""Hears of every refused destination, with the reason; called on the loop, must not raise."""


@dataclass(frozen=True, slots=True)
class _Known:
    until_s: float
    addresses: tuple[str, ...]
    refusal: str


class Guard:
    """`resolve` is what every client takes. One a process; concurrent questions for one name share an answer."""

    def __init__(
        self,
        rules: Rules,
        *,
        clock: Clock = SYSTEM,
        on_refused: OnRefused = lambda _destination, _why: None,
        lookup: Lookup | None = None,
    ) -> None:
        self._rules = rules
        self._clock = clock
        self._on_refused = on_refused
        self._lookup = lookup or system_lookup
        self._known: OrderedDict[Destination, _Known] = OrderedDict()
        self._asked: dict[Destination, asyncio.Task[tuple[str, ...]]] = {}
        self._tasks = Tasks(lambda _error: None)  # whoever asked is told

    async def resolve(self, host: str, port: int) -> tuple[str, ...]:
        """Addresses to connect to, in the order to try them. Raises `EgressDenied`, or `UpstreamUnavailable` for a
        name that has no address."""
        wanted = destination(host, port)
        if why := why_odd(host):
            raise self._refused(wanted, why)
        if (address := literal(host)) is not None:
            return self._checked(wanted, [address])
        known = self._known.get(wanted)
        if known is not None and self._clock.monotonic() < known.until_s:
            if known.refusal:
                raise self._refused(wanted, known.refusal)
            return known.addresses
        task = self._asked.get(wanted)
        if task is None:
            if len(self._asked) >= MAX_RESOLVING:
                raise UpstreamUnavailable(why="too many names are being resolved")
            task = self._asked[wanted] = self._tasks.start(self._find(wanted), "egress.resolve", tells_itself=True)
            task.add_done_callback(partial(self._settled, wanted))
        await asyncio.wait([task])  # not `shield`: whoever leaves must not take the answer from the others
        return task.result()

    def for_strangers(self) -> "Guard":
        """A guard of the same rules for URLs that a stranger chose: that the operator wrote a host down, for what goes
        there, is no word for them. Close it too."""
        rules = replace(self._rules, configured=frozenset())
        return Guard(rules, clock=self._clock, on_refused=self._on_refused, lookup=self._lookup)

    async def close(self) -> None:
        """Ask nothing more."""
        await self._tasks.close()

    def _settled(self, wanted: Destination, task: "asyncio.Task[tuple[str, ...]]") -> None:
        self._asked.pop(wanted, None)
        if not task.cancelled():
            task.exception()  # looked at, also when all who waited have left

    async def _find(self, wanted: Destination) -> tuple[str, ...]:
        try:
            async with asyncio.timeout(RESOLVE_S):
                texts = await self._lookup(wanted.host, wanted.port)
        except TimeoutError as error:
            raise UpstreamUnavailable(why=f"{wanted.host}: the name server did not answer in time") from error
        except (OSError, UnicodeError) as error:
            raise UpstreamUnavailable(why=f"{wanted.host}: {error}") from error
        try:
            addresses = self._checked(wanted, [ip_address(text) for text in texts])
        except ValueError as error:
            raise UpstreamUnavailable(why=f"{wanted.host}: {error}") from error
        except EgressDenied as denied:
            self._keep(wanted, _Known(self._clock.monotonic() + REFUSED_S, (), denied.why))
            raise
        if not addresses:
            raise UpstreamUnavailable(why=f"{wanted.host}: the name has no address")
        self._keep(wanted, _Known(self._clock.monotonic() + KNOWN_S, addresses, ""))
        return addresses

    def _checked(self, wanted: Destination, addresses: Sequence[Address]) -> tuple[str, ...]:
        # One bad address condemns the name: an honest one has no reason to mix them, and which is taken is chance.
        for address in addresses:
            if why := self._rules.why_refused(wanted, address):
                raise self._refused(wanted, f"{why} ({address})")
        return tuple(map(str, in_turn(addresses)))[:MAX_ADDRESSES]

    def _keep(self, wanted: Destination, known: _Known) -> None:
        self._known[wanted] = known
        self._known.move_to_end(wanted)
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)

    def _refused(self, wanted: Destination, why: str) -> Refusal:
        self._on_refused(wanted, why)
        return EgressDenied(why=why)


async def system_lookup(host: str, port: int) -> Sequence[str]:
    """What this machine says of a name, in the order it prefers (RFC 6724)."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]
