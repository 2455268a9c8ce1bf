"""Where a store is, read from its URL."""

from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qs, unquote, urlsplit

Kind = Literal["single", "sentinel", "cluster"]

_TLS: Final = frozenset({"valkeys", "rediss"})
_PLAIN: Final = frozenset({"valkey", "redis"})
_KINDS: Final[dict[str, Kind]] = {"": "single", "sentinel": "sentinel", "cluster": "cluster"}
_PORT: Final = 6379
_SENTINEL_PORT: Final = 26379
MAX_ADDRESSES: Final = 64
"""That one URL may name. The rest of a cluster is found from any of them."""


@dataclass(frozen=True, slots=True)
class Address:
    """One server: a Unix socket (`path`), or a host and port."""

    host: str = "127.0.0.1"
    port: int = _PORT
    path: str = ""

    @property
    def name(self) -> str:
        """For people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return self.path or f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Place:
    """A store: one server, the Sentinels that know which one it is, or some servers of a cluster."""

    kind: Kind = "single"
    addresses: tuple[Address, ...] = (Address(),)
    master: str = ""
    """What Sentinel calls the server that is meant."""
    is_tls: bool = False
    user: str = ""
    password: str = field(default="", repr=False)
    database: int = 0

    @property
    def name(self) -> str:
        """For people; holds no secret."""
        servers = ",".join(address.name for address in self.addresses)
        return {"single": servers, "sentinel": f"{self.master} at sentinels {servers}"}.get(
            self.kind, f"cluster {servers}"
        )


def parse(url: str) -> Place:
    """Read the URL of a store that is not in the process; raises `ValueError`.

    `valkey://`, `valkeys://` (TLS), `valkey+cluster://`, `valkey+sentinel://`, the same with `redis` and `rediss`, and
    `unix:///path?db=0`. The message never repeats the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        hosts = parts.netloc.rpartition("@")[2]
    except ValueError as error:
        raise ValueError(
            "store.url: not a URL; an IPv6 address stands in brackets, as in valkey://[::1]:6379"
        ) from error
    user, password = _login(parts.netloc)
    if parts.scheme == "unix":
        if not parts.path:
            raise ValueError("store.url: unix:// needs the path of a socket, as in unix:///run/valkey.sock")
        database = parse_qs(parts.query).get("db", ["0"])[0]
        socket = Address(path=unquote(parts.path))
        return Place(addresses=(socket,), user=user, password=password, database=_number(database))
    scheme, _, how = parts.scheme.partition("+")
    if scheme not in _TLS | _PLAIN or how not in _KINDS or parts.scheme.endswith("+"):
        known = "memory://, embedded://, valkey://, valkeys://, valkey+sentinel://, valkey+cluster://, unix://"
        raise ValueError(f"store.url: unknown scheme {parts.scheme!r}; known are {known} (and redis for valkey)")
    kind = _KINDS[how]
    addresses = _addresses(hosts, _SENTINEL_PORT if kind == "sentinel" else _PORT)
    if kind == "single" and len(addresses) > 1:
        raise ValueError("store.url: names several servers; say which they are, +sentinel:// or +cluster://")
    path = [unquote(part) for part in parts.path.split("/") if part]
    master = ""
    if kind == "sentinel":
        if not path:
            raise ValueError("store.url: needs the master's name, as in valkey+sentinel://host1,host2,host3/mymaster")
        master = path.pop(0)
    database = path.pop(0) if path else "0"
    if path:
        raise ValueError("store.url: its path holds more than the database's number")
    if kind == "cluster" and database != "0":
        raise ValueError("store.url: a cluster has database 0 only")
    return Place(kind, addresses, master, scheme in _TLS, user, password, _number(database))


def _login(netloc: str) -> tuple[str, str]:
    user, _, password = netloc.rpartition("@")[0].partition(":")
    return unquote(user), unquote(password)


def _addresses(hosts: str, port: int) -> tuple[Address, ...]:
    found = tuple(_address(host.strip(), port) for host in hosts.split(","))
    if len(found) > MAX_ADDRESSES:
        raise ValueError(f"store.url: names more than {MAX_ADDRESSES} servers; a few of them lead to all")
    return found


def _address(text: str, port: int) -> Address:
    host, is_bracketed, rest = text.removeprefix("[").partition("]") if text.startswith("[") else ("", "", "")
    if not is_bracketed:
        host, colon, number = text.partition(":")
        rest = colon + number
    if rest:
        if (
            not rest.startswith(":")
            or not rest[1:].isascii()
            or not rest[1:].isdigit()
            or not 0 < int(rest[1:]) < 65536
        ):
            raise ValueError("store.url: a port must be a number from 1 to 65535")
        port = int(rest[1:])
    return Address(host=host or "127.0.0.1", port=port)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError("store.url: the database must be a number")
    return int(text)
