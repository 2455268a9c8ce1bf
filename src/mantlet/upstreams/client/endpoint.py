"""Where an upstream is: a URL, taken apart once."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_TARGET: Final = re.compile(r"[\x21\x22\x24-\x7e]*")
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Scheme, address and the fixed request target; nothing a client sends changes any of it (EGR-03)."""

    is_tls: bool
    host: str
    """As certificates name it: an IP literal without brackets, or an ASCII host name."""
    port: int
    authority: bytes
    """The value of `Host`."""
    target: bytes
    """Path and query."""


def parse(url: str, *, is_plain_allowed: bool) -> Endpoint:
    """Read an upstream's URL. Raises `ValueError` for `http://` where it is not allowed (TLS-04), for userinfo, a
    fragment, or anything that is not a plain URL."""
    parts = urlsplit(url)
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError("url must begin with https://")
    if parts.scheme == "http" and not is_plain_allowed:
        raise ValueError("url must begin with https:// (http:// is for development only)")
    if "@" in parts.netloc:
        raise ValueError("url must hold no user or password; use headers")
    if parts.fragment or not parts.hostname:
        raise ValueError("url must have a host and no fragment")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    # urlsplit drops tabs and line ends in silence, so the whole URL is looked at.
    if not _TARGET.fullmatch(url) or not target.startswith("/"):
        raise ValueError("url must be ASCII without spaces; encode other characters")
    host = _ascii_host(parts.hostname)
    port = parts.port if parts.port is not None else _DEFAULT_PORTS[parts.scheme]
    shown = f"[{host}]" if ":" in host else host
    authority = shown if port == _DEFAULT_PORTS[parts.scheme] else f"{shown}:{port}"
    return Endpoint(parts.scheme == "https", host, port, authority.encode(), target.encode())


def _ascii_host(host: str) -> str:
    try:
        return ipaddress.ip_address(host).compressed
    except ValueError:
        return host.encode("idna").decode()
