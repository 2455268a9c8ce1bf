"""One server at several endpoints, as one upstream."""

from mantlet.upstreams.endpoints.endpoint import Breaker, Endpoint, Transport
from mantlet.upstreams.endpoints.endpoints import Endpoints
from mantlet.upstreams.endpoints.group import Settings

__all__ = ["Breaker", "Endpoint", "Endpoints", "Settings", "Transport"]
