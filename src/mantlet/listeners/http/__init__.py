"""The HTTP/1.1 listener: an `asyncio.Protocol` with a strict reader of its own."""

from mantlet.listeners.http.config import HttpConfig
from mantlet.listeners.http.door import ConnectionInfo
from mantlet.listeners.http.listener import HttpListener, listen
from mantlet.listeners.tls.config import TlsConfig

__all__ = ["ConnectionInfo", "HttpConfig", "HttpListener", "TlsConfig", "listen"]
