"""What a process does once, when all it needs is made."""

import gc


def settle() -> None:
    """What was made at start lives as long as the process: the collector need not look at it again."""
    gc.collect()
    gc.freeze()
