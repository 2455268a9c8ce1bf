"""What a cache has done since it was opened."""

from dataclasses import dataclass


@dataclass(slots=True)
class Figures:
    """Counted by one process."""

    hits: int = 0
    """Answered from memory."""
    stale: int = 0
    """Of these, after their time."""
    misses: int = 0
    coalesced: int = 0
    """Misses that waited for one that was under way."""
    computed: int = 0
    """Computations that gave something."""
    failed: int = 0
    from_store: int = 0
    """Misses that another process had the answer to."""
    refreshed: int = 0
    """Computations begun in the background."""
    fenced: int = 0
    """Answers not kept in the store, because whoever fetched them had lost the right to."""
    evicted: int = 0
    """Entries that went for want of room."""
    took_s: float = 0.0
    """All computations together."""

    @property
    def hit_rate(self) -> float:
        """The part of look-ups that memory answered."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0
