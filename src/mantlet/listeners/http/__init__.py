"""The HTTP/1.1 listener: an `asyncio.Protocol` with a strict reader of its own."""

from mantlet.listeners.http.config import HttpConfig, TlsConfig
from mantlet.listeners.http.door import ConnectionInfo
from mantlet.listeners.http.listener import HttpListener, listen

__all__ = ["ConnectionInfo", "HttpConfig", "HttpListener", "TlsConfig", "listen"]
