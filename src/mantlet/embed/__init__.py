"""For programs behind a node: who a request is for, on the node's word (docs/forwarding.md).

Needs what `pip install mantlet` brings, and imports of it no server, client or event loop.
"""

from mantlet.embed.asgi import ForwardedIdentity
from mantlet.embed.node import Node, open_forwarded
from mantlet.embed.used import MemoryUsed
from mantlet.wire.forwarded import Forwarded

__all__ = ["Forwarded", "ForwardedIdentity", "MemoryUsed", "Node", "open_forwarded"]
