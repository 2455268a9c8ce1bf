"""What an authorization server sends: one bounded JSON object, and the URLs in it. Pure."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.refusal import BadUpstream, InvalidJson
from mantlet.wire.jsonrpc import Bounds, decode

_BOUNDS: Final = Bounds(max_depth=16, max_keys=2_000)


def read_object(body: bytes, what: str) -> Mapping[str, Any]:
    """`body`, which is `what` for the record. Raises `BadUpstream`."""
    try:
        value = decode(body, _BOUNDS)
    except InvalidJson as error:
        raise BadUpstream(why=f"{what} is no JSON") from error
    if type(value) is not dict:
        raise BadUpstream(why=f"{what} is no object")
    return value


def origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port; of what is no URL, nothing that equals anything's."""
    try:
        parts = urlsplit(url)
        return parts.scheme, parts.hostname, parts.port
    except ValueError:
        return "", None, None
