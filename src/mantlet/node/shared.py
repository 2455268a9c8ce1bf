"""What the processes of one node have in common."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shared:
    """The limits' store, and the owner of shared channels.

    `sockets` is the directory where the owner serves them; empty when this process owns them itself.
    """

    store_url: str
    workers: int = 1
    sockets: str = ""
