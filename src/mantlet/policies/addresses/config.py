"""The section `addresses`."""

from typing import Annotated

import msgspec

from mantlet.policies.addresses.rules import networks

Positive = Annotated[float, msgspec.Meta(gt=0)]


class AutoBlockConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Blocking of addresses that misbehave."""

    enabled: bool = True
    score: Positive = 10
    """At this score an address is blocked; a bad credential or unknown path counts 1 (docs/addresses.md)."""
    half_life: Positive = 60
    """In so many seconds a score halves."""
    block: Positive = 300
    """How long the first block lasts; each relapse doubles it."""
    max_block: Positive = 86_400
    """The longest block, and how long after its end a relapse is still one."""
    never: list[str] = msgspec.field(default_factory=lambda: ["127.0.0.0/8", "::1/128"])
    """Networks that are never blocked."""

    def __post_init__(self) -> None:
        networks(self.never)
        if self.max_block < self.block:
            raise ValueError("addresses.auto_block.max_block: less than block")


class AddressesConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who may connect at all. Off while the section is absent; the admin listener is never closed by it."""

    allow: list[str] = []
    """Networks; with any, nobody else is let in. They are never blocked."""
    deny: list[str] = []
    """Networks that are turned away, whatever `allow` says."""
    auto_block: AutoBlockConfig = AutoBlockConfig()

    def __post_init__(self) -> None:
        networks(self.allow)
        networks(self.deny)
