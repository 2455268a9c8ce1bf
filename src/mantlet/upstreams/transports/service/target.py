"""Which place of a service a request is for, and where its answers point. Pure.

A target is built from the decoded path, each character that could mean something else encoded again, under a root that
nothing a caller sends can leave (EGR-03).
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from mantlet.core.refusal import Malformed
from mantlet.upstreams.client import Endpoint
from mantlet.wire.http1 import decode_path

MAX_LOCATION_BYTES: Final = 8_192
_SAFE: Final = "/-._~!$&'()*+,=:@"
"""What RFC 3986 lets stand in a path, and the path's own slashes; the door takes no `;`."""


@dataclass(frozen=True, slots=True)
class Place:
    """A service's root as it knows it, and as callers do. Neither ends with a slash."""

    endpoint: Endpoint
    theirs: bytes
    """The path there under which everything is."""
    ours: str
    """The path here."""

    def target(self, path: str, query: bytes) -> bytes:
        """Path and query of the request for `path`, which is decoded and begins with a slash.

        Raises `Malformed` for one that would leave the root; the door has refused it before.
        """
        if path[:1] != "/" or ("/." in path and not {".", ".."}.isdisjoint(path.split("/"))):
            raise Malformed("The path is not one that has a single reading.")
        encoded = self.theirs + quote(path, safe=_SAFE).encode()
        return b"%b?%b" % (encoded, query) if query else encoded

    def location(self, value: bytes, target: bytes) -> bytes | None:
        """Where callers find what `Location: value` names in the answer for `target`; None for anywhere else."""
        scheme = "https" if self.endpoint.is_tls else "http"
        authority = self.endpoint.authority.decode()
        if len(value) > MAX_LOCATION_BYTES or not value.isascii():
            return None
        try:
            there = urlsplit(urljoin(f"{scheme}://{authority}{target.decode()}", value.decode()))
            if there.scheme != scheme or there.netloc.lower() != authority.lower():
                return None
            # One strict reading of it, as of every path: whoever follows it comes back through the door.
            path = decode_path(there.path.encode() or b"/")
            root = decode_path(self.theirs or b"/").rstrip("/")
        except (Malformed, ValueError):
            return None
        if not path.startswith(f"{root}/") and path != root:
            return None
        here = quote(self.ours + path[len(root) :], safe=_SAFE)
        return (f"{here}?{there.query}" if there.query else here).encode()
