"""Where the library tells of what nobody awaits: the standard library's log, under `mantlet`."""

import logging
from typing import Final

log: Final = logging.getLogger("mantlet")


def failed(error: BaseException) -> None:
    """Something in the background went wrong; what depends on it has been told by other means."""
    log.error("in the background: %r", error, exc_info=error)
