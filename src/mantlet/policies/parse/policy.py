"""Read the body, read the message in it, check it against its headers, and say what it is.

Everything later decides on what is read here, and what is forwarded are the bytes read here (VAL-02, AUTHZ-02).
"""

from collections.abc import Awaitable, Callable, Collection
from typing import Final

from mantlet.core.call import Arrival, Call, Kind, Reply
from mantlet.core.caller import Caller
from mantlet.core.headers import Headers
from mantlet.core.policy import CallHandler
from mantlet.core.refusal import (
    HeaderMismatch,
    InvalidParams,
    MethodNotAllowed,
    MethodNotFound,
    NotFound,
    Unauthenticated,
    UnsupportedMediaType,
    UnsupportedVersion,
)
from mantlet.core.said import Said
from mantlet.policies.parse.repeated import Repeated
from mantlet.wire import jsonrpc
from mantlet.wire.deadline import earlier
from mantlet.wire.jsonrpc import Envelope
from mantlet.wire.mcp import inbound, methods
from mantlet.wire.mcp.inbound import Inbound

ENDPOINT: Final = "/mcp"
ALLOW: Final = "POST, GET, DELETE"

_STREAM_VERBS: Final[dict[str, Kind]] = {"GET": "stream", "DELETE": "end"}


class Parse:
    """The MCP endpoints: `/mcp` (all servers as one), `/mcp/{server}`, and `/mcp/{view}` of each virtual server."""

    def __init__(
        self,
        servers: Collection[str],
        *,
        bounds: jsonrpc.Bounds,
        request_timeout_s: float,
        monotonic: Callable[[], float],
        unknown_methods: bool = False,
        views: Collection[str] = (),
        repeated: Repeated | None = None,
    ) -> None:
        self._views = {f"{ENDPOINT}/{name}": name for name in views}
        self._paths = {
            ENDPOINT: "",
            **dict.fromkeys(self._views, ""),
            **{f"{ENDPOINT}/{name}": name for name in servers},
        }
        self._bounds = bounds
        self._request_timeout_s = request_timeout_s
        self._monotonic = monotonic
        self._passes_unknown = unknown_methods
        self._repeated = repeated

    @property
    def paths(self) -> Collection[str]:
        """The endpoints."""
        return self._paths.keys()

    def then(self, onward: CallHandler) -> Callable[[Arrival], Awaitable[Reply]]:
        """The handler of arrivals that parses each and hands the call on."""

        async def receive(arrival: Arrival) -> Reply:
            return await onward(await self.read(arrival))

        def parse(arrival: Arrival) -> Awaitable[Reply]:
            if arrival.body is None or arrival.verb != "POST":
                return receive(arrival)
            return onward(self._message(arrival, self._admitted(arrival), arrival.body))

        return parse

    async def read(self, arrival: Arrival) -> Call:
        """The call that `arrival` carries; raises the `Refusal` that says what is wrong with it."""
        caller = self._admitted(arrival)
        if arrival.verb == "POST":
            return self._message(arrival, caller, await arrival.read())
        return self._bodiless(arrival, caller)

    def _admitted(self, arrival: Arrival) -> Caller:
        """Refuse what needs no body to be refused."""
        caller = arrival.caller
        if caller is None:
            # Never reached on a path that authenticates; a path that does not must not get further (AUTHN-02).
            raise Unauthenticated
        server = self._paths.get(arrival.path)
        if server is None:
            raise NotFound
        arrival.trail.server = server
        if arrival.verb == "POST" and not arrival.headers.once(_says_json):
            raise UnsupportedMediaType("The body must be application/json.")
        return caller

    def _bodiless(self, arrival: Arrival, caller: Caller) -> Call:
        trail = arrival.trail
        kind = _STREAM_VERBS.get(arrival.verb)
        version = arrival.headers.text(inbound.PROTOCOL_VERSION)
        if kind is None or version in methods.MODERN_VERSIONS:
            raise MethodNotAllowed("POST" if version in methods.MODERN_VERSIONS else ALLOW)
        trail.era, trail.action = "legacy", f"{arrival.verb} {ENDPOINT}"
        if (repeated := arrival.headers.repeated(inbound.ROUTING)) is not None:
            raise HeaderMismatch(f"The header {repeated.decode()} stands more than once.")
        if version is not None and version not in methods.LEGACY_VERSIONS:
            raise UnsupportedVersion(version, (*methods.MODERN_VERSIONS, *methods.LEGACY_VERSIONS))
        session = arrival.headers.text(inbound.SESSION_ID) or ""
        return Call(
            arrival=arrival,
            caller=caller,
            kind=kind,
            era="legacy",
            server=trail.server,
            method="",
            target="",
            params={},
            body=b"",
            id=None,
            deadline_s=self._deadline_s(arrival),
            session=session,
            view=self._views.get(arrival.path, ""),
        )

    def _message(self, arrival: Arrival, caller: Caller, body: bytes) -> Call:
        headers, trail = arrival.headers, arrival.trail
        server = trail.server
        repeated = None if arrival.is_message else self._repeated
        known = None if repeated is None else repeated.find(body, headers)
        if known is None:
            envelope, what, target = self._read(arrival, body)
            said = None if repeated is None else Said(envelope.params, repeated)
        else:
            envelope, what, target, said = known
            trail.rpc_id, trail.action, trail.object, trail.era = envelope.id, envelope.method, target, what.era
        session = headers.text(inbound.SESSION_ID) or "" if what.era == "legacy" else ""
        return Call(
            arrival=arrival,
            caller=caller,
            kind=what.kind,
            era=what.era,
            server=server,
            method=envelope.method,
            target=target,
            params=envelope.params,
            body=body,
            id=envelope.id,
            deadline_s=self._deadline_s(arrival),
            session=session,
            message=envelope.message,
            view="" if server else self._views.get(arrival.path, ""),
            said=said,
        )

    def _read(self, arrival: Arrival, body: bytes) -> tuple[Envelope, Inbound, str]:
        trail = arrival.trail
        envelope = jsonrpc.envelope(jsonrpc.decode(body, self._bounds))
        # Noted before more is checked, so that a refusal can be answered to the id it belongs to.
        trail.rpc_id = None if envelope.is_response else envelope.id
        trail.action = envelope.method or "response"
        trail.object = target = methods.target_of(envelope.method, envelope.params)
        what = inbound.read(envelope, arrival.headers, is_message=arrival.is_message)
        trail.era = what.era
        if envelope.method and not self._passes_unknown and not methods.is_known(envelope.method, what.era):
            raise MethodNotFound(f"The method {envelope.method[:100]} is not served here.")
        if not target and methods.has_target(envelope.method):
            # Rules could not tell it from any other; and what has no name here might have one for a laxer server.
            raise InvalidParams(f"The params of {envelope.method[:100]} do not say what it acts on.")
        return envelope, what, target

    def _deadline_s(self, arrival: Arrival) -> float:
        now_s = self._monotonic()
        deadline_s = min(arrival.deadline_s, now_s + self._request_timeout_s)
        return earlier(arrival.headers, deadline_s, now_s)


def _says_json(headers: Headers) -> bool:
    """`application/json` in any case, with parameters; a charset other than UTF-8 is not JSON (RFC 8259)."""
    content_type = headers.get(b"content-type")
    if content_type is None:
        return False
    kind, _, parameters = content_type.lower().partition(b";")
    if kind.strip() != b"application/json":
        return False
    charset = parameters.replace(b" ", b"").replace(b'"', b"")
    return b"charset=" not in charset or charset.endswith(b"charset=utf-8")
