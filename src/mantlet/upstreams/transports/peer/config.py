"""Another node among `mcp.servers`, as the operator writes it."""

from typing import Literal
from urllib.parse import urlsplit

from mantlet.upstreams.transports.http.config import EraSetting, HttpServerConfig, check_name


class PeerServerConfig(HttpServerConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A node behind this one. It decides as if this node were the caller: give it a key of its own in `headers`."""

    transport: Literal["peer"] = "peer"  # type: ignore[assignment]  # told apart by this very word
    server: str = ""
    """One server behind the peer; empty for all of them as one."""
    era: EraSetting = "dual"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.server:
            check_name(self.server)
        if any(urlsplit(url).path.strip("/") for url in (self.url, *(one.url for one in self.endpoints))):
            raise ValueError("url of a peer is where the node is, without a path; name one of its servers in `server`")

    @property
    def endpoint(self) -> str:
        """The URL that is meant."""
        return self.url.rstrip("/") + (f"/mcp/{self.server}" if self.server else "/mcp")
