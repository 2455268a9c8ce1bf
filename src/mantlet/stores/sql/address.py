"""`postgresql://` addresses: read strictly, and never handed to a driver that would fill gaps from its environment.

After libpq's connection URIs, with the parameters named here and no others.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final, Literal, get_args
from urllib.parse import parse_qsl, unquote, urlsplit

from mantlet.core.secret import Secret

SslMode = Literal["disable", "require", "verify-ca", "verify-full"]
SCHEMES: Final = ("postgresql", "postgres")
DEFAULT_PORT: Final = 5432
_PARAMETERS: Final = ("sslmode", "host", "port")
_WEAK: Final = ("allow", "prefer")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a PostgreSQL is. With several hosts the one that takes writes is looked for."""

    hosts: tuple[tuple[str, int], ...]
    """Names or addresses; a host that begins with `/` is the folder of a Unix socket."""
    user: str
    database: str
    sslmode: SslMode
    password: Secret | None = None

    @property
    def is_local(self) -> bool:
        """Whether no network is between: sockets and loopback."""
        return all(_is_local(host) for host, _ in self.hosts)

    def __str__(self) -> str:
        """For people; without what is secret."""
        hosts = ",".join(host if host.startswith("/") else f"{host}:{port}" for host, port in self.hosts)
        return f"postgresql://{self.user}@{hosts}/{self.database}"


def parse(url: str) -> Address:
    """Raises `ValueError`, which repeats nothing of a password."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("is no URL: a host in brackets is broken") from None
    if parts.scheme not in SCHEMES:
        raise ValueError("does not begin with postgresql://")
    given = dict(parse_qsl(parts.query, keep_blank_values=True))
    if odd := [name for name in given if name not in _PARAMETERS]:
        raise ValueError(f"has a parameter {odd[0]!r} that is not known; known are {', '.join(_PARAMETERS)}")
    credentials, _, place = parts.netloc.rpartition("@")
    user, has_password, password = credentials.partition(":")
    if not user:
        raise ValueError("names no user: postgresql://USER@HOST/DATABASE")
    database = unquote(parts.path.lstrip("/"))
    if not database:
        raise ValueError("names no database: postgresql://USER@HOST/DATABASE")
    hosts = _hosts(place, given)
    sslmode = given.get("sslmode", "disable" if all(_is_local(host) for host, _ in hosts) else "verify-full")
    if sslmode in _WEAK:
        raise ValueError(f"sslmode={sslmode} would go on in clear when told to; use verify-full, or disable")
    if sslmode not in get_args(SslMode):
        raise ValueError(f"sslmode is one of {', '.join(get_args(SslMode))}")
    return Address(
        hosts,
        unquote(user),
        database,
        sslmode,  # type: ignore[arg-type]  # it is in the list
        Secret(unquote(password)) if has_password else None,
    )


def _hosts(place: str, given: dict[str, str]) -> tuple[tuple[str, int], ...]:
    if "host" in given:
        if place:
            raise ValueError("names a host twice")
        return ((given["host"], _port(given.get("port", ""))),)
    hosts = []
    for one in place.split(",") if place else ["localhost"]:
        if one.startswith("["):
            host, _, rest = one[1:].partition("]")
            port = rest.removeprefix(":")
        else:
            host, _, port = one.partition(":")
        if not host:
            raise ValueError("names an empty host")
        hosts.append((unquote(host), _port(port)))
    return tuple(hosts)


def _port(text: str) -> int:
    if not text:
        return DEFAULT_PORT
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise ValueError("has a port that is no number from 1 to 65535")
    return int(text)


def _is_local(host: str) -> bool:
    if host.startswith("/") or host.lower() == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
