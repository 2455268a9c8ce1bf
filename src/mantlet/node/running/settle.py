"""What a process does once, when all it needs is made."""

import gc
from typing import Final

YOUNG: Final = 20_000
"""Objects that may come into being before the collector looks for cycles among them. Python's 700 is reached by every
twentieth call, which leaves no cycles behind: some 5 % of its time."""
OLDER: Final = (20, 50)


def settle() -> None:
    """What was made at start lives as long as the process: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, *OLDER)
