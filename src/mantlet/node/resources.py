"""Where clients find this node, and which of its paths are resources of their own."""

from mantlet.node.config.model import Config
from mantlet.policies.parse.policy import ENDPOINT


def public_url(config: Config) -> str:
    """Where clients find this node: `agent.url`, or in its absence the listener's own address."""
    if config.agent.url:
        return config.agent.url.rstrip("/")
    scheme = "https" if config.http.tls.is_on else "http"
    host = f"[{config.http.host}]" if ":" in config.http.host else config.http.host
    return f"{scheme}://{host}:{config.http.port}"


def is_found(config: Config) -> bool:
    """Whether clients can be told where to read of this node: not without an address, behind a door of another's."""
    return bool(config.agent.url) or config.http.enabled


def resources(config: Config) -> list[str]:
    """The paths that are resources of their own, each with its metadata (RFC 9728); that of all servers first."""
    mcp = config.mcp
    names = [each.name for each in (*mcp.servers, *mcp.virtual)] if mcp.enabled else []
    return [ENDPOINT, *(f"{ENDPOINT}/{name}" for name in names)]
