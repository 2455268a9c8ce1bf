"""Blocks of addresses, as an operator sees and sets them."""

from collections.abc import Mapping
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams, NotFound
from mantlet.events.audit.administrative import note
from mantlet.policies.addresses.policy import Addresses
from mantlet.policies.addresses.rules import source_of
from mantlet.policies.addresses.table import Block

OPERATOR: Final = "operator"
MAX_S: Final = 366 * 86_400.0


class BlocksAdmin:
    """What the admin API does. Without the record nothing is done (AUD-02)."""

    def __init__(self, addresses: Addresses | None, journal: Journal) -> None:
        self._addresses, self._journal = addresses, journal

    async def all(self) -> list[Mapping[str, Any]]:
        """Those in force, the one that ends last first."""
        blocks = self._open().blocks
        await blocks.sync()
        found = sorted(blocks.in_force().items(), key=lambda item: -item[1].until_s)
        return [_told(source, block) for source, block in found]

    async def block(self, address: str, for_s: float | None, by: str) -> Mapping[str, Any]:
        """Block `address` for `for_s`, or as long as its history says."""
        addresses, source = self._open(), _source(address)
        if addresses.standing(address).is_exempt:
            raise InvalidParams("This address is never blocked: it is in never, allow or trusted_proxies.")
        if for_s is not None and not 0 < for_s <= MAX_S:
            raise InvalidParams("A block lasts more than no time, and at most a year.")
        await addresses.blocks.sync()
        await note(self._journal, SYSTEM, "address.blocked", object=source, principal=by, notes={"reason": OPERATOR})
        block = addresses.blocks.add(source, OPERATOR, for_s)
        await addresses.blocks.sync()
        return _told(source, block)

    async def unblock(self, address: str, by: str) -> bool:
        """Forget `address` and what stands against it; whether it was blocked."""
        blocks, source = self._open().blocks, _source(address)
        await blocks.sync()
        await note(self._journal, SYSTEM, "address.unblocked", object=source, principal=by, notes={"reason": OPERATOR})
        was = blocks.remove(source)
        await blocks.sync()
        return was

    def _open(self) -> Addresses:
        if self._addresses is None:
            raise NotFound("Addresses are not watched here: set the section addresses in the configuration.")
        return self._addresses


def _source(address: str) -> str:
    try:
        return source_of(address)
    except ValueError:
        raise InvalidParams("Name one IPv4 address, or an IPv6 address or its network of 64 bits.") from None


def _told(source: str, block: Block) -> Mapping[str, Any]:
    return {
        "address": source,
        "reason": block.reason,
        "since_s": round(block.since_s, 3),
        "until_s": round(block.until_s, 3),
        "times": block.times,
    }
