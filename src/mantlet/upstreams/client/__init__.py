"""A pooled HTTP/1.1 client for one upstream, made for the hot path."""

from mantlet.upstreams.client.client import HttpClient
from mantlet.upstreams.client.config import Bounds, TlsConfig
from mantlet.upstreams.client.endpoint import Endpoint, parse
from mantlet.upstreams.client.fetch import Fetcher
from mantlet.upstreams.client.framing import media_type
from mantlet.upstreams.client.reach import Resolve
from mantlet.upstreams.client.relay import Relay
from mantlet.upstreams.client.request import head, lines, prefix
from mantlet.upstreams.client.response import BodyStream, Response

__all__ = [
    "BodyStream",
    "Bounds",
    "Endpoint",
    "Fetcher",
    "HttpClient",
    "Relay",
    "Resolve",
    "Response",
    "TlsConfig",
    "head",
    "lines",
    "media_type",
    "parse",
    "prefix",
]
