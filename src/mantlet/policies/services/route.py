"""Which service a path belongs to, and what may be asked there. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

ROOT: Final = "/api/"


@dataclass(frozen=True, slots=True)
class Route:
    """One service. Sizes are bytes; `timeout_s` None leaves the listener's."""

    name: str
    prefix: str
    """Begins with `ROOT`, and does not end with a slash."""
    verbs: tuple[str, ...]
    media: frozenset[str]
    """Types of bodies in lower case; `image/*` for all of a kind."""
    max_body_bytes: int
    max_json_bytes: int
    timeout_s: float | None = None

    @property
    def allow(self) -> str:
        """The value of `Allow`."""
        return ", ".join(self.verbs)

    def takes(self, media: str) -> bool:
        """Whether a body may be of this type."""
        return media in self.media or f"{media.partition('/')[0]}/*" in self.media


class Routes:
    """All services by prefix; where one prefix begins with another, the longer wins."""

    __slots__ = ("_depths", "_routes")

    def __init__(self, routes: Iterable[Route]) -> None:
        """Raises `ValueError` for two services in one place."""
        self._routes: dict[str, Route] = {}
        for route in routes:
            if (other := self._routes.setdefault(route.prefix, route)) is not route:
                raise ValueError(f"http_upstreams: {other.name} and {route.name} have the same prefix {route.prefix}")
        self._depths = sorted({prefix.count("/") for prefix in self._routes}, reverse=True)

    def __iter__(self) -> Iterator[Route]:
        return iter(self._routes.values())

    def find(self, path: str) -> tuple[Route, str] | None:
        """The service that `path` belongs to, and the path below its prefix, which begins with a slash."""
        for depth in self._depths:
            prefix = "/".join(path.split("/", depth + 1)[: depth + 1])
            if (route := self._routes.get(prefix)) is not None:
                return route, path[len(prefix) :] or "/"
        return None
