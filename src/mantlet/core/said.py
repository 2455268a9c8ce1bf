"""What a message says apart from its id, and what steps have worked out of it."""

from collections.abc import Callable, Mapping
from typing import Any


class Said:
    """One object for all messages that are equal byte for byte but for their id.

    `params` are those of the message as it came: whoever looks into `found` asks first whether the call still has them
    (`call.params is said.params`). What is found there may depend on the message, and on nothing else that its key does
    not tell. `keep` makes the next such message have this very object.
    """

    __slots__ = ("found", "keep", "params")

    def __init__(self, params: Mapping[str, Any], keep: Callable[[], None]) -> None:
        self.params = params
        self.keep = keep
        self.found: dict[object, Any] = {}
