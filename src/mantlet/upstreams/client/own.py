"""What the node's requests say of themselves, and what the operator has them say."""

from collections.abc import Mapping
from typing import Final

from mantlet import __version__
from mantlet.core.secret import Secret
from mantlet.upstreams.client.request import Field

USER_AGENT: Final[Field] = (b"user-agent", b"mantlet/" + __version__.encode())
OWN: Final[tuple[Field, ...]] = (USER_AGENT, (b"accept-encoding", b"identity"))
"""Of every request: bodies are read as they come."""


def configured(headers: Mapping[str, Secret]) -> list[Field]:
    """The `headers` of a section."""
    return [(name.lower().encode(), value.reveal().encode()) for name, value in headers.items()]
