"""Whom a certificate stands for: the one configured name that it carries."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from mantlet.core.certificate import PeerCertificate
from mantlet.core.refusal import InvalidCredential

SPIFFE: Final = "spiffe://"
_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[\x21-\x7e]+")
_SPIFFE: Final = re.compile(r"spiffe://[a-z0-9._\-]+(?:/[A-Za-z0-9._\-]+)+")
_DNS: Final = re.compile(r"(?=.{1,253}\Z)[a-z0-9_](?:[a-z0-9_\-]{0,62})(?:\.[a-z0-9_](?:[a-z0-9_\-]{0,62}))*")


def read(san: str) -> str:
    """A configured name as certificates are compared with it: a URI exactly, a DNS name in lower case.

    Raises `ValueError`. There are no patterns: who is let in stands there by name.
    """
    if san.lower().startswith(SPIFFE):
        if _SPIFFE.fullmatch(san) is None:
            raise ValueError(f"{san!r} is no SPIFFE id: spiffe://trust-domain/path, the domain in lower case")
        return san
    if ":" in san:
        if _URI.fullmatch(san) is None:
            raise ValueError(f"{san!r} is no URI")
        return san
    name = san.lower()
    if _DNS.fullmatch(name) is None:
        raise ValueError(f"{san!r} is neither a URI nor a DNS name")
    return name


def match(certificate: PeerCertificate, known: Iterable[str] | Mapping[str, object]) -> str | None:
    """The one name of `known` that `certificate` carries, or None.

    Raises `InvalidCredential` when it carries two, or is a SPIFFE document that names more than one workload
    (SPIFFE X.509-SVID section 2): whoever picks would be guessing.
    """
    uris = certificate.uris
    if len(uris) > 1 and any(uri.lower().startswith(SPIFFE) for uri in uris):
        raise InvalidCredential("client certificate: a SPIFFE id and another URI")
    # A name of one kind is never compared with one of the other: they share no spelling, since a URI has a colon.
    found = {name for name in (*uris, *certificate.dns_names) if name in known}
    if len(found) > 1:
        raise InvalidCredential("client certificate: names two callers")
    return found.pop() if found else None
