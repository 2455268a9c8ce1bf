"""Keep one child of a server running and opened; start it again after it ends, ever more slowly (RES-06)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Literal

from mantlet.core.clock import Clock
from mantlet.core.refusal import Refusal, UpstreamUnavailable
from mantlet.upstreams.transports.channel.channel import Connect, OwnedChannel
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.channel.link import Link
from mantlet.upstreams.transports.channel.mux import Mux
from mantlet.upstreams.transports.channel.opening import Opening, WrongEra
from mantlet.upstreams.transports.channel.stderr import Events, StderrNotes
from mantlet.upstreams.transports.channel.vigil import Budget, Vigil, wait

State = Literal["starting", "healthy", "degraded", "unhealthy", "stopped"]
Open = Callable[[Link, float], Awaitable[Opening]]


def backoff_s(failures: int, *, base_s: float, max_s: float, chance: float) -> float:
    """The wait after the `failures`-th failure in a row: doubled each time, capped, spread over its upper half by
    `chance` (0 to 1), so that children that fell together do not rise together."""
    full = min(max_s, base_s * 2.0 ** min(failures - 1, 32))
    return full * (0.5 + chance / 2)


class Supervisor:
    """One child at a time. `link` is None unless the child is open; `opening` is what it last said of itself."""

    def __init__(
        self,
        config: ChannelConfig,
        open_link: Open,
        *,
        clock: Clock,
        chance: Callable[[], float],
        connect: Connect,
        broadcast: Callable[[str, str, bytes], None],
        on_open: Callable[[Link], None],
        events: Events,
    ) -> None:
        self._config = config
        self._open = open_link
        self._clock = clock
        self._chance = chance
        self._connect = connect
        self._broadcast = broadcast
        self._on_open = on_open
        self._events = events
        self._stderr = StderrNotes(config.transport, config.name, events, clock.monotonic)
        self._hung = Budget(config.restart.max_hung, clock)
        self._settled = asyncio.Event()
        self._child: OwnedChannel | None = None
        self.state: State = "starting"
        self.reason = ""
        self.link: Link | None = None
        self.opening: Opening | None = None
        self.failures = 0
        self.starts = 0
        self.next_start_s = 0.0
        self.wrong_era = ""
        """Why this server will never open in the era asked for; empty while that is not known."""

    async def run(self) -> None:
        """Start, serve, wait, again; until cancelled, or until the server turns out to be of another era."""
        try:
            while not self.wrong_era:
                served_s = await self._one_life()
                self.failures = 1 if served_s > self._config.restart.max else self.failures + 1
                if not self.wrong_era:
                    await self._rest()
        finally:
            self.state = "stopped"
            self._settled.set()

    async def _one_life(self) -> float:
        self.state = "starting"
        self._settled.clear()
        self.starts += 1
        link = Link(Mux(max_pending=self._config.max_pending, broadcast=self._broadcast))
        child: OwnedChannel | None = None
        served_s = 0.0
        try:
            async with asyncio.timeout(self._config.start_timeout):
                child = await self._connect(link, self._stderr)
                self._child = child
                link.attach(child)
                self.opening = await self._open(link, self._config.start_timeout)
        except WrongEra as refusal:
            self.reason = self.wrong_era = refusal.why
        except (Refusal, TimeoutError) as failure:
            why = failure.why if isinstance(failure, Refusal) else f"not open in {self._config.start_timeout:g} s"
            self.reason = why if not link.why or link.why in why else f"{why} ({link.why})"
            if child is not None and link.closed.is_set():
                await child.stop(self._config.stop_timeout)  # at once: it has ended, and now it can be said how
                self.reason = f"{self.reason}: {child.account()}"
        else:
            served_s = await self._serve(link, child)
        finally:
            self.link = None
            self.state = "unhealthy"
            self._settled.set()
            if child is not None:
                await child.stop(self._config.stop_timeout)
        if served_s and child is not None:
            self.reason = f"{self.reason}: {child.account()}"
        self._tell("ended", reason=self.reason, exit_code=child.exit_code if child else None)
        return served_s

    async def _serve(self, link: Link, child: OwnedChannel) -> float:
        began_s = self._clock.monotonic()
        self.link, self.state, self.reason = link, "healthy", ""
        self._settled.set()
        self._tell("opened", pid=child.pid, era=self.opening.era if self.opening else "")
        self._on_open(link)
        await wait(link, self._vigil(link))
        self.reason = link.why
        return self._clock.monotonic() - began_s

    def _vigil(self, link: Link) -> Vigil | None:
        if self._config.health is None or not self._config.health.enabled:
            return None
        return Vigil(link, self._config.health, self._hung, self._doubted, chance=self._chance)

    def _doubted(self, why: str, is_given_up: bool) -> None:
        state: State = "unhealthy" if is_given_up else "degraded" if why else "healthy"
        if is_given_up and self.state != "unhealthy":
            self._tell("hung", reason=why)
        self.state, self.reason = state, why

    async def _rest(self) -> None:
        restart = self._config.restart
        wait_s = backoff_s(self.failures, base_s=restart.backoff, max_s=restart.max, chance=self._chance())
        self.next_start_s = self._clock.monotonic() + wait_s
        self._tell("restarting", after_s=round(wait_s, 3), failures=self.failures, reason=self.reason)
        await asyncio.sleep(wait_s)

    async def ready(self, deadline_s: float) -> Link:
        """The open link; while the child starts, wait for it. Raises `UpstreamUnavailable` at once while it rests."""
        if self.link is not None and not self.link.closed.is_set():
            return self.link
        if self.state == "starting":
            try:
                async with asyncio.timeout(deadline_s - self._clock.monotonic()):
                    await self._settled.wait()
            except TimeoutError as error:
                raise UpstreamUnavailable("The server is starting.", why="still starting at the deadline") from error
        if self.link is None or self.link.closed.is_set():
            raise UpstreamUnavailable(why=self.reason or "the server is not running")
        return self.link

    def report(self) -> dict[str, Any]:
        """For `health`."""
        child, link = self._child, self.link
        rests = self.state == "unhealthy" and link is None
        return {
            "state": self.state,
            "era": self.opening.era if self.opening else None,
            "reason": self.wrong_era or self.reason,
            "pid": child.pid if child is not None and not rests and self.state != "stopped" else None,
            "starts": self.starts,
            "failures": self.failures,
            "next_start_in_s": max(0.0, round(self.next_start_s - self._clock.monotonic(), 3)) if rests else None,
            "pending": len(link.mux) if link else 0,
            "dropped": {name: getattr(link.mux.counters, name) for name in link.mux.counters.__slots__} if link else {},
            "stderr": list(child.last_lines)[-10:] if child is not None else [],
        }

    def _tell(self, event: str, **fields: object) -> None:
        self._events(f"{self._config.transport}.{event}", {"server": self._config.name, **fields})
