"""Addresses that a server should not be sent to: its own machine, the inner network, a cloud's metadata (CWE-918).

Judged is an argument that is an address, or is called one; what a text says about `http://localhost` is no finding.
This sees spellings, not what a name resolves to: the node's own connections are guarded where they are made
(`upstreams/egress`), a server behind it has to guard its own.
"""

import re
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final
from urllib.parse import urlsplit

from mantlet.policies.filters.rules import Matcher

MAX_URL: Final = 4_096

_URL: Final = re.compile(
    r"^[\s\0<\"']{0,4}(?:url:)?(?P<scheme>[a-z][a-z0-9+.-]{0,20}):(?P<rest>[/\\]{0,8}[^\s]{1,4096})", re.IGNORECASE
)
_SCHEMES: Final = frozenset(
    {
        "file",
        "gopher",
        "dict",
        "tftp",
        "ldap",
        "ldaps",
        "sftp",
        "netdoc",
        "jar",
        "phar",
        "php",
        "expect",
        "smb",
        "nfs",
        "ldapi",
        "unix",
        "ogg",
        "rar",
        "glob",
    }
)
_WEB: Final = frozenset(
    {
        "http",
        "https",
        "ws",
        "wss",
        "ftp",
        "ftps",
        "git",
        "ssh",
        "redis",
        "mysql",
        "postgres",
        "postgresql",
        "mongodb",
        "amqp",
    }
)
_NUMBER: Final = re.compile(r"(?:0x[0-9a-f]{0,16}|[0-9]{1,20})", re.IGNORECASE)
_INNER_NAMES: Final = re.compile(
    r"(?:^|\.)(?:localhost|localdomain|localhost6|ip6-localhost|ip6-loopback|local|internal|intranet|lan|corp"
    r"|home\.arpa"
    r"|metadata|instance-data|kubernetes|svc|docker|consul|localtest\.me|lvh\.me|vcap\.me|lacolhost\.com"
    r"|localh\.st|rebind\.network|rbndr\.us|1u\.ms|xip\.name"
    r"|yoogle\.com|burpcollaborator\.net|spoofed\.[a-z0-9-]+\.burpcollaborator\.net|127-0-0-1\.org\.uk)$"
    r"|^(?:[a-z]{1,20}-)?(?:metadata|instance-data)\b"
    r"|(?:^|[.-])(?:127|10|192-168|192\.168|169-254|169\.254|172-(?:1[6-9]|2\d"
    r"|3[01]))[.-][0-9.-]{3,}.*\.(?:nip\.io|sslip\.io|xip\.io)$"
    # An inner address inside of a name: whoever answers for the name answers with it.
    r"|(?:^|[.-])(?:127\.\d{1,3}\.\d{1,3}\.\d{1,3}|169\.254\.169\.254|192\.168\.\d{1,3}\.\d{1,3}"
    r"|10\.\d{1,3}\.\d{1,3}\.\d{1,3})[.-][a-z0-9.-]{0,200}[a-z]$"
    r"|(?:^|\.)(?:[0-9a-f]{8})\.(?:nip\.io|sslip\.io|xip\.io)$",
    re.IGNORECASE,
)
_HEX: Final = re.compile(r"(?:7f|0a)[0-9a-f]{6}|a9fe[0-9a-f]{4}|c0a8[0-9a-f]{4}|ac1[0-9a-f]{5}", re.IGNORECASE)
"""An inner address as one number in hexadecimal, without the mark of it."""
_DOTS: Final = str.maketrans("\u3002\uff0e\uff61", "...")
_PUBLIC_6: Final = IPv6Network("2000::/3")
_NOT_PUBLIC_6: Final = (IPv6Network("2001::/23"), IPv6Network("2001:db8::/32"), IPv6Network("2002::/16"))
_NOT_PUBLIC_4: Final = (IPv4Network("192.0.0.0/24"), IPv4Network("168.63.129.16/32"))
"""Where metadata services are at addresses that are public by every registry: Oracle's and Azure's."""


may: Final = Matcher(
    r"(?i)[a-z]:[/\\]|\x02\s{0,4}(?://|\\\\)|\x02[\s<\"']{0,4}(?:url:)?[a-z0-9+.-]{2,20}:[^\s\x02]"
).is_in
"""Whether a text with its edges may be an address though it is not called one."""


def judge(value: str, *, is_called_url: bool) -> str:
    """The rule that `value` breaks, or an empty text. `value` comes decoded."""
    if len(value) > MAX_URL:
        return ""
    url = _URL.match(value)
    if url is not None:
        scheme = url["scheme"].lower()
        if scheme in _SCHEMES:
            return "ssrf.scheme"
        if scheme in _WEB:
            return _judge_host(_host(url["rest"]))
        if not is_called_url:
            return ""
    elif value[:2] in ("//", "\\\\") and " " not in value:
        return _judge_host(_host(value))
    if not is_called_url or any(map(str.isspace, value.strip())):
        return ""
    if value.count(":") > 1 and "[" not in value:
        return _judge_host(value.strip())  # an IPv6 address without its brackets
    return "ssrf.odd_host" if _HEX.fullmatch(value) else _judge_host(_host(value))


def _host(rest: str) -> str:
    """The host as the laxest reader takes it: behind the last `@`, backslashes are slashes."""
    authority = re.split(r"[/?#]", rest.replace("\\", "/").lstrip("/"), maxsplit=1)[0]
    authority = authority.rpartition("@")[2]
    try:
        host = urlsplit(f"//{authority}").hostname or ""
    except ValueError:
        return authority
    return host.translate(_DOTS).strip(".").lower()


def _judge_host(host: str) -> str:
    if not host:
        return ""
    if "${" in host or host.count("%") or not host.isascii():
        if "${" in host:
            return "ssrf.odd_host"  # a variable of whoever reads it
        return "ssrf.odd_host" if _looks_numeric(host) else ""
    if _INNER_NAMES.search(host):
        return "ssrf.inner_name"
    try:
        return "ssrf.inner_address" if _is_inner(ip_address(host)) else ""
    except ValueError:
        pass
    if _looks_numeric(host):
        return "ssrf.odd_host"  # `127.1`, `0x7f000001`, `017700000001`: nobody writes a public address so
    return ""


def _looks_numeric(host: str) -> bool:
    return bool(_NUMBER.fullmatch(host.rpartition(".")[2].rpartition(":")[0] or host.rpartition(".")[2]))


def _is_inner(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv4Address):
        return not address.is_global or address.is_multicast or any(address in network for network in _NOT_PUBLIC_4)
    return address not in _PUBLIC_6 or any(address in network for network in _NOT_PUBLIC_6)
