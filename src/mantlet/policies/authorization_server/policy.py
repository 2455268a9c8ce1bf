"""The step that answers for the authorization server, before authentication: its clients prove themselves in their own
way (AUTHN-01: these paths are listed exceptions, and exist only where `auth.server` is configured)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from mantlet.core.call import Arrival, Reply
from mantlet.core.headers import JSON
from mantlet.core.policy import ArrivalHandler, Policy
from mantlet.core.refusal import MethodNotAllowed

Endpoint = Callable[[Arrival], Awaitable[Reply]]
_PUBLIC: Final = [JSON, (b"cache-control", b"public, max-age=300")]


class AuthorizationServer:
    """Answers its paths and passes everything else on. `limits` counts strangers by their network (RATE-01); `rule` is
    what records call it."""

    def __init__(
        self,
        documents: Mapping[str, bytes],
        endpoints: Mapping[str, Endpoint],
        limits: Policy[Arrival] | None,
        rule: str = "authorization_server",
    ) -> None:
        self._documents, self._rule = documents, rule
        self._endpoints = {path: _after(limits, endpoint) for path, endpoint in endpoints.items()}
        self.paths = frozenset(documents) | frozenset(endpoints)

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Answer, or pass on."""
        if arrival.path not in self.paths:
            return onward(arrival)
        arrival.trail.action, arrival.trail.rule = f"{arrival.verb} {arrival.path}", self._rule
        endpoint = self._endpoints.get(arrival.path)
        return self._read(arrival) if endpoint is None else endpoint(arrival)

    async def _read(self, arrival: Arrival) -> Reply:
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET")
        return Reply(200, list(_PUBLIC), self._documents[arrival.path], origin="node")


def _after(limits: Policy[Arrival] | None, endpoint: Endpoint) -> Endpoint:
    if limits is None:
        return endpoint
    return lambda arrival: limits(arrival, endpoint)
