"""Modern clients before a legacy server: the node keeps the session, and holds what waits for the client."""

from mantlet.upstreams.bridge.to_legacy.crossing import ToLegacy
from mantlet.upstreams.bridge.to_legacy.places import Places

__all__ = ["Places", "ToLegacy"]
