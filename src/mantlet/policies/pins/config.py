"""`mcp.pins`."""

from typing import Annotated, Literal

import msgspec

Mode = Literal["off", "first_use", "approve"]


class PinsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What servers say their tools, prompts and templates are, held to what was approved."""

    mode: Mode | None = None
    """`approve`: only what stands in the lock file is shown and called. `first_use`: what is seen first is pinned.
    Null means `off` in development, where a server is changed while it is written, and `approve` elsewhere."""
    file: str = "./mantlet.lock"
    """The lock file of `approve`."""
    refresh: Annotated[float, msgspec.Meta(ge=1)] = 300
    """Seconds after which a server is asked for its definitions again, before its next call."""
    listen: bool = True
    """Hold a stream to each server in use, in each process, on which it tells of changes. Not to programs of which each
    session has its own (`isolation: session`)."""

    def mode_in(self, environment: str) -> Mode:
        """The mode that holds in an environment."""
        return self.mode or ("off" if environment == "development" else "approve")
