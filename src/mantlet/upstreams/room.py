"""Room for so many of something."""


class Room:
    """A count with an upper bound."""

    __slots__ = ("limit", "taken")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0

    def take(self) -> bool:
        """A place; False when there is none."""
        if self.taken >= self.limit:
            return False
        self.taken += 1
        return True

    def give_back(self) -> None:
        """A place taken is free again."""
        self.taken -= 1
