"""Which transport opens which channel, and which process of a node opens it.

A transport whose servers are talked to message by message is a `Connect` (`upstreams/transports/channel/channel.py`)
and a line in `CONNECTS`.
"""

import os
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

from mantlet.upstreams.transports.channel.channel import Connect
from mantlet.upstreams.transports.channel.config import ChannelConfig
from mantlet.upstreams.transports.stdio.child import Child
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

CONNECTS: Final[Mapping[type[ChannelConfig], Callable[[Any], Connect]]] = {
    StdioServerConfig: lambda config: partial(Child.spawn, config, environment=os.environ),
}


def connect_to(config: ChannelConfig) -> Connect:
    """What opens a channel to this server."""
    return CONNECTS[type(config)](config)


def is_owned(config: ChannelConfig) -> bool:
    """Whether one process of a node opens this server's channels for all: children are started once for a node, not
    once for each worker, and the channel of a session must be found from any worker."""
    return isinstance(config, StdioServerConfig) or config.isolation == "session"


def owner_socket(sockets: str, server: str) -> str:
    """Where the owner of a server's channels serves its siblings."""
    return str(Path(sockets) / f"{server}.sock")
