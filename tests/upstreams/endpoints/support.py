"""Endpoints whose servers do what a test says, on a clock in the test's hand."""

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from tests.upstreams.before_server import Clock, Server

from mantlet.core.call import Call, Era, Reply
from mantlet.core.clock import Clock as Both
from mantlet.upstreams.balance import make_picker
from mantlet.upstreams.endpoints import Breaker, Endpoint, Endpoints, Settings
from mantlet.upstreams.health.state import Health, Terms

FINE = Reply(200, [], b"{}")
TERMS = Terms(fall=2, rise=1, failures=2, ejection_s=30, slow_start_s=0)
NO_POOL: Any = SimpleNamespace(open=0, idle=0, waiting=0, opened=0, turn_away=lambda why: None)


class Transport(Server):
    """One URL's."""

    def __init__(self, clock: Clock, eras: frozenset[Era] | None = None) -> None:
        super().__init__(clock)
        self.spoken = eras
        self.pool = NO_POOL
        self.on_headers: Any = None

    async def send(self, call: Call, /) -> Reply:
        reply = await super().send(call)
        return Reply(reply.status, list(reply.headers), reply.body)


class House:
    """`Endpoints` over `count` transports, and what was told of their states."""

    def __init__(
        self,
        count: int = 3,
        balance: Any = "round_robin",
        *,
        given: Terms = TERMS,
        weights: Mapping[str, float] = {},
        zones: Mapping[str, str] = {},
        breakers: Mapping[str, Breaker] = {},
        eras: Mapping[str, frozenset[Era]] = {},
        sessions: Any = None,
        is_known: bool = True,
        **settings: Any,
    ) -> None:
        self.clock = Clock()
        self.told: list[tuple[str, str, str]] = []
        self.transports = {f"e{n}": Transport(self.clock, eras.get(f"e{n}")) for n in range(count)}
        self.endpoints = [
            Endpoint(
                name,
                f"https://{name}.internal/mcp",
                transport,
                Health(given),
                weight=weights.get(name, 1),
                zone=zones.get(name, ""),
                breaker=breakers.get(name),
            )
            for name, transport in self.transports.items()
        ]
        self.upstream = Endpoints(
            "docs",
            "http",
            self.endpoints,
            make_picker(balance, lambda: 0.5),
            Settings(**{"is_probed": True, **settings}),
            clock=Both(self.clock, lambda: 0.0),
            sessions=sessions,
            changed=lambda server, one, before: self.told.append((one.name, before, one.health.state)),
        )
        if is_known:
            for one in self.endpoints:
                self.upstream.probed(one, "")
            self.told.clear()

    def one(self, name: str) -> Endpoint:
        return next(one for one in self.endpoints if one.name == name)

    def state(self, name: str) -> str:
        return self.one(name).health.state

    def served(self) -> dict[str, int]:
        return {name: len(transport.calls) for name, transport in self.transports.items()}

    def down(self, name: str) -> None:
        for _ in range(2):
            self.upstream.probed(self.one(name), "no answer within 5 s")
