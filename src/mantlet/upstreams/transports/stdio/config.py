"""One stdio server of `mcp.servers`, as the operator writes it."""

import re
from collections.abc import Mapping
from typing import Literal

import msgspec

from mantlet.upstreams.transports.channel.config import ChannelConfig


class RlimitsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What each process of a server may use at most, as the kernel counts it (getrlimit(2)). Null is no limit but the
    node's own. Sizes are bytes."""

    files: int | None = 4_096
    """Open files and sockets."""
    memory: int | None = None
    """Memory that a process writes to (RLIMIT_DATA); Node.js and the JVM reserve far more than they use."""
    processes: int | None = None
    """Processes and threads of the node's user together, not of this server alone; root is exempt."""
    file_size: int | None = None
    """The longest file it can write."""
    address_space: int | None = None
    """All that a process maps (RLIMIT_AS). For native programs; Node.js and the JVM do not start under a sane one."""
    cpu: int | None = None
    """Seconds of CPU in the whole life of a process, which is then killed. For programs that are started anew often."""

    def __post_init__(self) -> None:
        if any(value < 1 for value in self.named().values()):
            raise ValueError("rlimits must be at least 1, or null")

    def named(self) -> dict[str, int]:
        """By the kernel's names."""
        limits = {
            "NOFILE": self.files, "DATA": self.memory, "NPROC": self.processes, "FSIZE": self.file_size,
            "AS": self.address_space, "CPU": self.cpu,
        }  # fmt: skip
        return {name: value for name, value in limits.items() if value is not None}


class PathsConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """All that a server can open of the file system, with what lies below (Landlock, Linux 5.13). What every program
    needs is added: the system's libraries and certificates, the program's own installation, `cwd`, plain devices."""

    read: tuple[str, ...] = ()
    """What it may read and run."""
    write: tuple[str, ...] = ()
    """What it may change, and read."""

    def __post_init__(self) -> None:
        if any(not path.startswith("/") or "\0" in path for path in (*self.read, *self.write)):
            raise ValueError("paths must be absolute")


class StdioServerConfig(ChannelConfig, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A server that the node runs as its own child. Durations are seconds, sizes bytes.

    `command` is an argv; no shell reads it and nothing from a request is ever added to it (MCP-08). A program without a
    slash is looked for on PATH once, when the node starts: what is put there later is not run.
    `env` is all the child gets beside PATH, HOME, LANG, LC_*, TZ and TMPDIR.
    """

    command: list[str]
    transport: Literal["stdio"] = "stdio"
    env: Mapping[str, str] = {}
    cwd: str | None = None
    user: str | None = None
    """As whom it runs, with all groups of that user and its home. Needs a node that runs as root. Null: as the node."""
    sandbox: Literal["auto", "off"] = "auto"
    """`auto`: the child and all it starts can gain no privileges and leave no core files, can neither look into other
    processes nor signal them, and cannot use calls that reach into the kernel; as far as the kernel has it."""
    paths: PathsConfig | None = None
    """Null: all that its user may. Needs `sandbox: auto`."""
    umask: str = "077"
    """Of files that it makes, in octal; 077 keeps them from all other users."""
    rlimits: RlimitsConfig = RlimitsConfig()
    stderr_lines: int = 200
    """The last lines of stderr that are kept for people to see."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.command or not self.command[0] or any("\0" in word for word in self.command):
            raise ValueError("command must be a list of words, the program first")
        if any(not key or "=" in key or "\0" in key + value for key, value in self.env.items()):
            raise ValueError("env has a name that is empty or has '=', or a value with NUL")
        if self.paths is not None and self.sandbox == "off":
            raise ValueError("paths needs sandbox: auto")
        if not re.fullmatch("0?[0-7]{1,3}", self.umask):
            raise ValueError('umask must be octal digits, as in "027"')
        if self.stderr_lines < 0:
            raise ValueError("stderr_lines must not be negative")
