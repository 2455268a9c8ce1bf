"""The section `egress`."""

from typing import Literal

import msgspec

from mantlet.upstreams.egress.rules import read_allowed, read_networks


class EgressConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Where the node may connect to. Public addresses always, unless denied; others by these rules."""

    allow: list[str] | None = None
    """Networks, addresses and host names (`*.corp.internal` for all below) that may be inside. A link-local or metadata
    address must stand here itself. Absent: loopback in development, else none."""
    deny: list[str] = []
    """Networks that are never connected to, whatever else is said."""
    configured: Literal["allowed", "listed"] = "allowed"
    """Whether a URL of this configuration may lead to a private or loopback address on its own word, or needs `allow`
    too. What is found by asking others (metadata, key sets, redirects) always needs it."""

    def __post_init__(self) -> None:
        read_allowed(self.allow or ())
        read_networks(self.deny, "egress.deny")
