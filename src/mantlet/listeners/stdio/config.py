"""The `stdio:` section: what `mantlet stdio` does. Durations are seconds, sizes bytes."""

from typing import Annotated

import msgspec

from mantlet.listeners.http.config import Seconds


class StdioConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The door of a client that starts the node itself."""

    caller: str | None = None
    """The name of the entry of `auth.api_keys` that the client stands for, unless it brings a token of its own."""
    request_timeout: Seconds = 60
    max_line_bytes: Annotated[int, msgspec.Meta(ge=1024)] = 4_194_304
    max_in_flight: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 64
    """Requests under way at once; as many more wait, then nothing more is read."""
