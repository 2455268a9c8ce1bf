"""`mcp.virtual`."""

import re

import msgspec


class VirtualServerConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A selection of what all servers offer, served at `/mcp/{name}`; what is not named is not there."""

    name: str
    tools: list[str] = []
    """Names as `/mcp` shows them, or `server__tool`; shell-style patterns."""
    prompts: list[str] = []
    """The same for prompts."""
    resources: list[str] = []
    """URIs, and templates as they are listed; shell-style patterns."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", self.name):
            raise ValueError(f"mcp.virtual: {self.name[:100]!r} is no name for a path")
        if not (self.tools or self.prompts or self.resources):
            raise ValueError(f"mcp.virtual: {self.name} shows nothing; name tools, prompts or resources")
