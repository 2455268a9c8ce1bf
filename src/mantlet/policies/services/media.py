"""What a request says its body is (RFC 9110 section 8.3). Pure.

One reading or none: a type that two readers could take for two types is refused, so that what was checked as one thing
is not read as another behind the node.
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

from mantlet.core.refusal import UnsupportedMediaType

_WORD: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]++"
_QUOTED: Final = r'"[\x20\x21\x23-\x5b\x5d-\x7e]*+"'
_MEDIA: Final = re.compile(rf"({_WORD}/{_WORD})((?:[ \t]*+;[ \t]*+{_WORD}=(?:{_WORD}|{_QUOTED}))*+)")
_PARAMETER: Final = re.compile(rf";[ \t]*+({_WORD})=({_WORD}|{_QUOTED})")
MAX_BYTES: Final = 256


class Media(NamedTuple):
    """A body's type, in lower case and without parameters."""

    name: str
    is_json: bool


@lru_cache(maxsize=256)
def read(value: bytes | None) -> Media:
    """The type that `Content-Type: value` gives. Raises `UnsupportedMediaType`, also for none at all."""
    text = "" if value is None else value.decode("latin-1")
    match = _MEDIA.fullmatch(text)
    if match is None or len(text) > MAX_BYTES:
        raise UnsupportedMediaType("A request with a body needs one well-formed Content-Type.")
    name = match[1].lower()
    parameters = [(parameter.lower(), given.strip('"')) for parameter, given in _PARAMETER.findall(match[2])]
    if len({parameter for parameter, _ in parameters}) != len(parameters):
        raise UnsupportedMediaType("A parameter of the Content-Type stands twice.")
    is_json = name == "application/json" or name.endswith("+json")
    if is_json and dict(parameters).get("charset", "utf-8").lower() != "utf-8":
        raise UnsupportedMediaType("JSON is UTF-8.")  # RFC 8259 section 8.1
    return Media(name, is_json)
