"""The table of blocks, which all processes of a node share. Pure.

One value and not one a source: it can be listed, and looking an address up costs a call no question to the store.
"""

from collections.abc import Mapping
from typing import Final

import msgspec

MAX_BLOCKS: Final = 10_000
"""With more, those go first that end first."""


class Block(msgspec.Struct, frozen=True, array_like=True):
    """Times are Unix times. It outlives its end for a while, so that a relapse is known as one."""

    until_s: float
    since_s: float
    times: int
    reason: str


Table = dict[str, Block]
Changes = Mapping[str, Block | None]
"""None takes a block away."""


def next_block(before: Block | None, *, now_s: float, block_s: float, max_s: float, reason: str) -> Block:
    """A first block, or one twice as long as the last; never longer than `max_s`."""
    times = 1 if before is None else before.times + 1
    return Block(now_s + min(block_s * 2.0 ** min(times - 1, 60), max_s), now_s, times, reason)


def changed(table: Mapping[str, Block], changes: Changes, *, now_s: float, memory_s: float) -> Table:
    """`table` with `changes`, without what ended more than `memory_s` ago, within bounds."""
    whole = {**table, **changes}
    kept = {source: block for source, block in whole.items() if block is not None and block.until_s + memory_s > now_s}
    if len(kept) > MAX_BLOCKS:
        last = sorted(kept, key=lambda source: kept[source].until_s)[-MAX_BLOCKS:]
        kept = {source: kept[source] for source in last}
    return kept


def encode(table: Table) -> bytes:
    """As it lies in the store."""
    return msgspec.json.encode(table)


def decode(raw: bytes | None) -> Table:
    """As it came out of the store; nothing, or nothing readable, is no block."""
    try:
        return msgspec.json.decode(raw or b"{}", type=Table)
    except msgspec.DecodeError:
        return {}
