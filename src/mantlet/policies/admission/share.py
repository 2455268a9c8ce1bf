"""Sharing what is bounded among those who ask, without saying beforehand who may have how much.

The dynamic threshold of shared packet buffers (Choudhury and Hahne, 1998): each may have at most `CROWD` times what is
still free. Whoever asks alone gets two thirds, and who comes after two thirds of what is left then.
"""

from typing import Final

CROWD: Final = 2


def fits(held: int, free: int, crowd: int = CROWD) -> bool:
    """Whether who holds `held` may have one more of the `free`."""
    return held < crowd * free
