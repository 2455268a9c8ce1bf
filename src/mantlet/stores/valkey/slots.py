"""Where a key lies in a cluster."""

from binascii import crc_hqx
from typing import Final

SLOTS: Final = 16_384


def slot_of(key: bytes | str) -> int:
    """CRC16/XMODEM of the key, or of what its first braces hold, if anything (Redis Cluster specification)."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return crc_hqx(name, 0) % SLOTS
