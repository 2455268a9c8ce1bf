"""The HTTP/1.1 listener: an `asyncio.Protocol` on httptools, with a strict layer around it."""

from mantlet.listeners.http.config import HttpConfig, TlsConfig
from mantlet.listeners.http.door import ConnectionInfo
from mantlet.listeners.http.listener import HttpListener, listen

__all__ = ["ConnectionInfo", "HttpConfig", "HttpListener", "TlsConfig", "listen"]
