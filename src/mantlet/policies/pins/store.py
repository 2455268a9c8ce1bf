"""Where decisions about definitions are kept, for all workers of a node and for its next start."""

from collections.abc import Iterable
from typing import Protocol

from mantlet.core.definition import DefinitionKey, Held, Pin


class PinStore(Protocol):
    """Each method is atomic, also across processes, and raises `StoreUnavailable`."""

    def is_changed(self) -> bool:
        """Whether anybody wrote since the last `load`, this process or another."""
        ...

    def load(self) -> tuple[dict[DefinitionKey, Pin], dict[DefinitionKey, Held]]:
        """All pins of first use, and all that is in quarantine."""
        ...

    def pin(self, pins: Iterable[Pin], *, is_decided: bool) -> None:
        """Keep pins. Those of first use leave an older one as it is; a decision replaces it and ends the quarantine."""
        ...

    def hold(self, held: Held) -> None:
        """Put a definition into quarantine, in the place of another of the same key."""
        ...

    def release(self, key: DefinitionKey) -> None:
        """Take one out of quarantine."""
        ...
