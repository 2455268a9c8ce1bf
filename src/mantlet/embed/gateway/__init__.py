"""The node's path in front of an ASGI application, in its own process."""

from mantlet.embed.gateway.application import CALLER
from mantlet.embed.gateway.middleware import MantletMiddleware

__all__ = ["CALLER", "MantletMiddleware"]
