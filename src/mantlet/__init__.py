"""Mantlet: a gateway and mesh node that puts multi-agent systems into production."""

from typing import Final

__version__: Final = "0.1.0"
__all__ = ["__version__"]
