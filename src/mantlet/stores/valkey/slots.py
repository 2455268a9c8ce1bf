"""Where a key lies in a cluster, and who has it, as its servers say."""

from binascii import crc_hqx
from typing import Any, Final

from mantlet.stores.valkey.address import Address

SLOTS: Final = 16_384
_REDIRECTIONS: Final = frozenset({"MOVED", "ASK"})


def slot_of(key: bytes | str) -> int:
    """CRC16/XMODEM of the key, or of what its first braces hold, if anything (Redis Cluster specification)."""
    name = key.encode() if isinstance(key, str) else key
    start = name.find(b"{")
    if start >= 0:
        end = name.find(b"}", start + 1)
        if end > start + 1:
            name = name[start + 1 : end]
    return crc_hqx(name, 0) % SLOTS


def read_map(reply: Any, here: str) -> list[Address | None]:
    """The master of each slot, out of the reply to CLUSTER SLOTS; raises `ValueError` for what is none.

    A server that does not know its own address is at `here`, where it was asked.
    """
    owners: list[Address | None] = [None] * SLOTS
    try:
        for first, last, (host, port, *_), *_replicas in reply:
            if not (type(first) is type(last) is int and 0 <= first <= last < SLOTS):
                raise ValueError("slots out of range")
            owners[first : last + 1] = [_address(host.decode() if host else "", port, here)] * (last - first + 1)
    except (TypeError, AttributeError) as error:
        raise ValueError("not a map of slots") from error
    return owners


def redirection(error: str, here: str) -> tuple[Address, bool] | None:
    """Where `MOVED 3999 10.0.0.7:6381` or `ASK ...` leads, and whether for good; None when it is neither.

    Raises `ValueError` for one that leads nowhere.
    """
    word, _, rest = error.partition(" ")
    if word not in _REDIRECTIONS:
        return None
    host, _, port = rest.partition(" ")[2].rpartition(":")
    if not (port.isascii() and port.isdigit()):
        raise ValueError("a redirection to nowhere")
    return _address(host.strip("[]"), int(port), here), word == "MOVED"


def _address(host: str, port: int, here: str) -> Address:
    if type(port) is not int or not 0 < port < 65536:
        raise ValueError("no port")
    return Address(here if host in ("", "?") else host, port)
