"""PROXY protocol version 2: a load balancer's word about who connected to it."""

from mantlet.listeners.proxy_protocol.header import Header, NotProxied, parse
from mantlet.listeners.proxy_protocol.receive import receive

__all__ = ["Header", "NotProxied", "parse", "receive"]
