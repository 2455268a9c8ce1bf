"""The stdio door: one client, which started the node and speaks with it over its standard streams."""

from mantlet.listeners.stdio.config import StdioConfig
from mantlet.listeners.stdio.door import converse

__all__ = ["StdioConfig", "converse"]
