"""What one process may keep open for all its servers together."""

from mantlet.core.refusal import Overloaded
from mantlet.upstreams.bridge.config import BridgeConfig

CallerKey = tuple[str, str, str]


class Places:
    """Counts held calls and open streams against `BridgeConfig`."""

    def __init__(self, config: BridgeConfig) -> None:
        self._config = config
        self._by_caller: dict[CallerKey, int] = {}
        self.held = 0
        self.streams = 0

    def hold(self, caller: CallerKey) -> None:
        """Take a place for a call that waits for its client. Raises `Overloaded`."""
        if self.held >= self._config.max_held:
            raise Overloaded(why=f"{self.held} calls wait for input (mcp.bridge.max_held)")
        mine = self._by_caller.get(caller, 0)
        if mine >= self._config.max_held_per_caller:
            raise Overloaded(why=f"{mine} calls of the caller wait for input (mcp.bridge.max_held_per_caller)")
        self.held += 1
        self._by_caller[caller] = mine + 1

    def let_go(self, caller: CallerKey) -> None:
        """Give it back."""
        self.held -= 1
        left = self._by_caller[caller] - 1
        if left:
            self._by_caller[caller] = left
        else:
            del self._by_caller[caller]

    def open_stream(self) -> bool:
        """Take a place for a stream; False when there is none."""
        if self.streams >= self._config.max_streams:
            return False
        self.streams += 1
        return True

    def close_stream(self) -> None:
        """Give it back."""
        self.streams -= 1
