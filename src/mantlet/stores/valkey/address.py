"""Where a store is, read from its URL."""

from dataclasses import dataclass, field
from urllib.parse import parse_qs, unquote, urlsplit

_TLS = {"valkeys", "rediss"}
_PLAIN = {"valkey", "redis"}


@dataclass(frozen=True, slots=True)
class Address:
    """A Unix socket (`path`) or a host and port, and how to log in."""

    host: str = "127.0.0.1"
    port: int = 6379
    path: str = ""
    is_tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0

    @property
    def name(self) -> str:
        """For people; holds no secret."""
        return self.path or f"{self.host}:{self.port}"


def parse(url: str) -> Address:
    """Read `valkey://`, `valkeys://` (TLS), `redis://`, `rediss://` or `unix:///path?db=0`; raises `ValueError`.

    The message never repeats the URL, which may hold a password.
    """
    parts = urlsplit(url)
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("store.url: unix:// needs the path of a socket, as in unix:///run/valkey.sock")
        database = parse_qs(parts.query).get("db", ["0"])[0]
        return Address(path=unquote(parts.path), user=user, password=password, database=_number(database))
    if parts.scheme in {"valkey+cluster", "valkey+sentinel"}:
        raise ValueError(f"store.url: {parts.scheme}:// is not served yet; name one server with valkey://")
    if parts.scheme not in _TLS | _PLAIN:
        known = "memory://, embedded://, valkey://, valkeys://, redis://, rediss://, unix://"
        raise ValueError(f"store.url: unknown scheme {parts.scheme!r}; known are {known}")
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        is_tls=parts.scheme in _TLS,
        user=user,
        password=password,
        database=_number(parts.path.strip("/") or "0"),
    )


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("store.url: the database must be a number")
    return int(text)
