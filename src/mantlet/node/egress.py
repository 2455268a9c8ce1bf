"""The guard of all connections out of one process, and what it is told: which destinations the operator wrote."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, suppress
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.ports import Journal
from mantlet.core.refusal import Refusal
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import record_of
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.config.refusals import is_let
from mantlet.upstreams.client import Fetcher, TlsConfig
from mantlet.upstreams.egress import Destination, Guard, compile_rules
from mantlet.upstreams.egress.rules import destination

RECORD_EVERY_S: Final = 60.0
"""A refused destination is recorded once in so many seconds: an upstream that is tried again must not fill the trail.
Every refusal is counted, and a call that ends by one has its own record."""
MAX_RECENT: Final = 256

_PORTS: Final = {"https": 443, "http": 80, "wss": 443, "ws": 80}
_OWN: Final = frozenset({"agent.url"})
"""Where others find this node, not where it goes."""


def open_egress(config: Config, journal: Journal, metrics: Metrics, tasks: Tasks) -> Guard:
    """The guard that `config` describes. Raises `ValueError` for rules that cannot be read."""
    settings = config.egress
    trust = settings.configured == "allowed"
    rules = compile_rules(
        allow=settings.allow,
        deny=settings.deny,
        configured=set(destinations(config)) if trust else (),
        is_development=config.environment == "development",
    )
    return Guard(rules, on_refused=Told(journal, metrics, tasks))


def open_fetcher(config: Config, guard: Guard, tls: TlsConfig = TlsConfig()) -> Fetcher:
    """A `core.ports.Fetch` as this environment wants it (spec 2.2); whoever opens it closes it."""
    return Fetcher(
        resolve=guard.resolve,
        tls=tls,
        is_plain_allowed=is_let("plain_upstream", config),
        follows_redirects=config.environment != "production",
    )


def open_strangers_fetcher(config: Config, guard: Guard, opened: AsyncExitStack) -> Fetcher:
    """The same for URLs that come from whoever asks, before anybody knows who that is: nothing inside is theirs to
    reach, not even what the configuration names."""
    strict = guard.for_strangers()
    opened.push_async_callback(strict.close)
    fetcher = open_fetcher(config, strict)
    opened.push_async_callback(fetcher.close)
    return fetcher


class Told:
    """What becomes of a refusal: counted each time, recorded when it is new (AUD-01)."""

    def __init__(self, journal: Journal, metrics: Metrics, tasks: Tasks, clock: Clock = SYSTEM) -> None:
        self._journal, self._metrics, self._tasks, self._clock = journal, metrics, tasks, clock
        self._recent: OrderedDict[tuple[Destination, str], float] = OrderedDict()

    def __call__(self, refused: Destination, why: str) -> None:
        """Called on the loop."""
        self._metrics.count("mantlet_egress_refusals", why.partition(" ")[0])
        now_s = self._clock.monotonic()
        if now_s < self._recent.get((refused, why), 0.0):
            return
        self._recent[refused, why] = now_s + RECORD_EVERY_S
        self._recent.move_to_end((refused, why))
        if len(self._recent) > MAX_RECENT:
            self._recent.popitem(last=False)
        self._tasks.start(self._record(refused, why), "egress.refused")

    async def _record(self, refused: Destination, why: str) -> None:
        host = f"[{refused.host}]" if ":" in refused.host else refused.host[:253]
        record = record_of(
            "egress.refused",
            at_s=self._clock.wall(),
            object=f"{host}:{refused.port}",
            verdict="deny",
            reason="egress_denied",
            why=why,
        )
        with suppress(Refusal):  # nothing was let through, and the failing journal has told of itself
            await self._journal.append(record)


def destinations(config: Config) -> Iterator[Destination]:
    """Every host and port that the configuration names as somewhere to go.

    By the names of keys and not by a list of sections, so that a new section is not forgotten.
    """
    for path, value in _values(config, ""):
        key = path.rpartition(".")[2]
        if path in _OWN or not (key in ("url", "issuer") or key.endswith(("_url", "_endpoint"))):
            continue
        if isinstance(value, str) and (found := _of_url(value)) is not None:
            yield found
    for server in config.mcp.servers:
        host, port = getattr(server, "host", None), getattr(server, "port", None)
        if isinstance(host, str) and isinstance(port, int):
            yield destination(host, port)


def _of_url(url: str) -> Destination | None:
    try:
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            return None
        return destination(parts.hostname, parts.port or _PORTS[parts.scheme])
    except ValueError:
        return None  # whoever uses it says what is wrong with it


def _values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _values(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, Mapping):
        for name, each in value.items():
            yield from _values(each, f"{path}.{name}".lstrip("."))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _values(each, path)
    else:
        yield path, value
