"""The HTTP statuses of JSON-RPC errors."""

from collections.abc import Mapping
from typing import Final

_STATUSES: Final[Mapping[int, int]] = {
    -32700: 400,
    -32600: 400,
    -32601: 404,
    -32602: 400,
    -32020: 400,
    -32021: 400,
    -32022: 400,
}


def status_of(code: int) -> int:
    """As the modern specification has it (2026-07-28, transports/streamable-http and basic/index)."""
    return _STATUSES.get(code, 200)
