"""Which revision of MCP a call is made for, where none could be negotiated."""

from mantlet.core.call import Call
from mantlet.wire.mcp.methods import META_VERSION


def requested(call: Call) -> str:
    """As its client says; empty when it does not."""
    meta = call.params.get("_meta")
    version = meta.get(META_VERSION) if type(meta) is dict else call.params.get("protocolVersion")
    return str(version or call.arrival.headers.text(b"mcp-protocol-version") or "")
