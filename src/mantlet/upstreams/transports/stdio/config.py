"""One stdio server of `mcp.servers`, as the operator writes it."""

from collections.abc import Mapping
from typing import Literal

from mantlet.upstreams.transports.channel.config import ChannelConfig


class StdioServerConfig(ChannelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that the node runs as its own child. Durations are seconds, sizes bytes.

    `command` is an argv; no shell reads it and nothing from a request is ever added to it (MCP-08).
    `env` is all the child gets beside PATH, HOME, LANG, LC_*, TZ and TMPDIR.
    """

    command: list[str]
    transport: Literal["stdio"] = "stdio"
    env: Mapping[str, str] = {}
    cwd: str | None = None
    sandbox: Literal["auto", "off"] = "auto"
    """`auto`: the child and all it starts can gain no privileges (no_new_privs) and leave no core files."""
    stderr_lines: int = 200
    """The last lines of stderr that are kept for people to see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.command or not self.command[0] or any("\0" in word for word in self.command):
            raise ValueError("command must be a list of words, the program first")
        if any(not key or "=" in key or "\0" in key + value for key, value in self.env.items()):
            raise ValueError("env has a name that is empty or has '=', or a value with NUL")
        if self.stderr_lines < 0:
            raise ValueError("stderr_lines must not be negative")
