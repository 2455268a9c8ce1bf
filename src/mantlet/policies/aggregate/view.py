"""A virtual server: some of what all servers offer, under an endpoint of its own. Pure.

A view only ever hides: rules decide on the real server and tool behind a name, as everywhere.
"""

import fnmatch
import re
from collections.abc import Callable, Sequence

from mantlet.policies.aggregate.config import VirtualServerConfig
from mantlet.policies.aggregate.names import SEPARATOR, Owned

Match = Callable[[str], object]


class View:
    """What one virtual server shows."""

    def __init__(self, config: VirtualServerConfig) -> None:
        self.name = config.name
        self._matches = {
            "tools": _match(config.tools),
            "prompts": _match(config.prompts),
            "resources": _match(config.resources),
        }

    def has(self, kind: str) -> bool:
        """Whether it shows anything of `kind` (`tools`, `prompts`, `resources`)."""
        return self._matches[kind] is not None

    def shows(self, kind: str, exposed: str, owned: Owned) -> bool:
        """Whether it shows the item called `exposed` at the endpoint of all servers."""
        match = self._matches[kind]
        if match is None:
            return False
        return bool(match(exposed)) or (kind != "resources" and bool(match(owned.server + SEPARATOR + owned.name)))


def _match(patterns: Sequence[str]) -> Match | None:
    if not patterns:
        return None
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns)).match
