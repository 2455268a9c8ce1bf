"""Parameters of an OAuth request: `application/x-www-form-urlencoded`, read in one way only (RFC 6749 section 3.2)."""

from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from mantlet.core.call import Arrival
from mantlet.core.refusal import GrantRefused, PayloadTooLarge

MAX_BYTES: Final = 65_536
"""An assertion and a code and room; nothing legitimate comes near."""
MAX_PARAMETERS: Final = 32
_TYPE: Final = b"application/x-www-form-urlencoded"


async def read_form(arrival: Arrival) -> Mapping[str, str]:
    """The form that `arrival` brings. Raises `GrantRefused`."""
    kind = (arrival.headers.get(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != _TYPE:
        raise GrantRefused("invalid_request", "The body must be application/x-www-form-urlencoded.")
    if arrival.query:
        raise GrantRefused("invalid_request", "Parameters belong in the body.")  # query strings end in logs
    body = await arrival.read()
    if len(body) > MAX_BYTES:
        raise PayloadTooLarge(why="a form")
    return parameters(body)


def parameters(text: bytes) -> Mapping[str, str]:
    """The parameters of a query or form. Raises `GrantRefused` for a repeated one (RFC 6749 section 3.1)."""
    found: dict[str, str] = {}
    pairs = text.split(b"&") if text else []
    if len(pairs) > MAX_PARAMETERS:
        raise GrantRefused("invalid_request", "There are too many parameters.")
    for pair in pairs:
        if not pair:
            continue
        name, _, value = (_decoded(part) for part in pair.partition(b"="))
        if name in found:
            raise GrantRefused("invalid_request", "A parameter stands twice.")
        if value:  # a parameter without a value is as if it were not there (RFC 6749 section 3.1)
            found[name] = value
    return found


def _decoded(part: bytes) -> str:
    try:
        text = unquote_to_bytes(part.replace(b"+", b" ")).decode()
    except UnicodeDecodeError:
        raise GrantRefused("invalid_request", "A parameter is not UTF-8.") from None
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise GrantRefused("invalid_request", "A parameter has control characters.")
    return text


def needed(form: Mapping[str, str], name: str) -> str:
    """A parameter that must be there."""
    value = form.get(name)
    if value is None:
        raise GrantRefused("invalid_request", f"{name} is missing.")
    return value
