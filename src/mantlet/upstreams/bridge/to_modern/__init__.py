"""Legacy clients (2024-11-05 to 2025-11-25, handshake and session) at a modern server (2026-07-28)."""

from mantlet.upstreams.bridge.to_modern.crossing import ToModern

__all__ = ["ToModern"]
