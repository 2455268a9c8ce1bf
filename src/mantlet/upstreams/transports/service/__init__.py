"""A plain HTTP service behind the node: requests and answers pass as they come, fields by list, paths under a root."""

from mantlet.upstreams.transports.service.config import ServiceConfig
from mantlet.upstreams.transports.service.server import ServiceServer

__all__ = ["ServiceConfig", "ServiceServer"]
