"""What servers say of their tools: the steps that hold them to it, where there are any."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mantlet.core.policy import CallHandler
from mantlet.core.ports import Journal
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.node.config.model import Config
from mantlet.node.storage.durable import Durable

if TYPE_CHECKING:
    from mantlet.policies.pins.policy import Pins
    from mantlet.policies.schemas.policy import Schemas


Settle: TypeAlias = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class Definitions:
    """The steps of the path, None where they are switched off."""

    pins: "Pins | None" = None
    schemas: "Schemas | None" = None
    settle: Settle = _nothing
    """Returns once what was decided is written. Raises `StoreUnavailable`."""

    def hash_of(self, server: str, tool: str) -> str:
        """Of what was approved of a tool; empty where nothing is known."""
        definition = None if self.pins is None else self.pins.definition_of(server, tool)
        return "" if definition is None else definition.hash


async def open_definitions(
    config: Config, forward: CallHandler, journal: Journal, metrics: Metrics, tasks: Tasks, durable: Durable
) -> Definitions:
    """As `mcp.pins` and `validation.schemas` say. Raises `ConfigError` for a lock file that cannot be read."""
    if config.mcp.pins.mode_in(config.environment) == "off" and config.validation.schemas in (None, "off"):
        return Definitions()
    from mantlet.node.upstreams.pinned import open_pinned  # with the library of schemas, which others need not wait for

    return Definitions(*await open_pinned(config, forward, journal, metrics, tasks, durable))
