"""What a message says apart from its id, and what steps have worked out of it."""

from collections.abc import Mapping
from typing import Any, Protocol


class Keeper(Protocol):
    """Who read a message, and can know it again."""

    def keep(self, call: Any, /) -> None:
        """Have the next message that equals `call`'s, but for its id, bring the same `Said`."""
        ...


class Said:
    """One object for all messages that are equal byte for byte but for their id, once one of them was kept.

    `params` are those of the message as it came: whoever looks into `found` asks first whether the call still has them
    (`call.params is said.params`). What is found there may depend on the message, and on nothing else that its key does
    not tell.
    """

    __slots__ = ("found", "is_kept", "keeper", "params")

    def __init__(self, params: Mapping[str, Any], keeper: Keeper) -> None:
        self.params, self.keeper = params, keeper
        self.is_kept = False
        self.found: dict[object, Any] | None = None
        """None until there is something: of nearly all messages nothing ever is."""
