"""A request as HTTP/1.1 bytes, which is how transports make them, in HTTP/2's shape."""

from typing import Final

Field = tuple[bytes, bytes]

_OF_CONNECTIONS: Final = frozenset({b"connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te", b"host"})


def split(message: bytes) -> tuple[list[Field], bytes]:
    """The header list and the body of one whole request that `request.head` made."""
    end = message.index(b"\r\n\r\n")
    first, *lines = message[:end].split(b"\r\n")
    verb, target, _ = first.split(b" ")
    regular: list[Field] = []
    authority = b""
    for line in lines:
        name, _, value = line.partition(b":")
        name, value = name.lower(), value.strip(b" \t")
        if name == b"host":
            authority = value
        elif name not in _OF_CONNECTIONS:
            regular.append((name, value))
    pseudo = [(b":method", verb), (b":scheme", b"https"), (b":authority", authority), (b":path", target)]
    return [*pseudo, *regular], message[end + 4 :]
