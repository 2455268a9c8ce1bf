"""An OpenAPI service as an `Upstream`: MCP of both eras in front, plain HTTP behind.

It has no state and asks its client nothing, so a legacy client gets no session, and both eras the same tools.
"""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any, Final

from mantlet import __version__
from mantlet.core.call import Call, Reply
from mantlet.core.clock import SYSTEM, Clock
from mantlet.core.headers import JSON
from mantlet.core.refusal import ConsentRequired, InvalidParams, MethodNotAllowed, MethodNotFound, Refusal
from mantlet.upstreams.client import BodyStream, HttpClient, Resolve, head, parse, prefix
from mantlet.upstreams.client.own import OWN, configured
from mantlet.upstreams.identity import Field, Identity, Outgoing, Renewable
from mantlet.upstreams.transports.openapi import answer
from mantlet.upstreams.transports.openapi.config import OpenApiServerConfig
from mantlet.upstreams.transports.openapi.document import open_document
from mantlet.upstreams.transports.openapi.operations import Operation, Operations
from mantlet.upstreams.transports.openapi.request import BadArguments, build
from mantlet.wire import jsonrpc
from mantlet.wire.mcp.methods import LATEST_LEGACY, LEGACY_VERSIONS, MODERN_VERSIONS

LIST_TTL_MS: Final = 300_000
"""The document is read once, at start: its tools change with the node."""
SERVER_INFO: Final = "io.modelcontextprotocol/serverInfo"


class OpenApiServer:
    """`core.ports.Upstream` over a plain HTTP service. Raises `ValueError` or `OSError` for a document or URL that
    cannot be used."""

    def __init__(
        self,
        config: OpenApiServerConfig,
        *,
        clock: Clock = SYSTEM,
        is_plain_allowed: bool = False,
        resolve: Resolve | None = None,
        identity: Identity | None = None,
    ) -> None:
        try:
            self.operations: Operations = open_document(config.document, tuple(config.operations))
        except OSError as error:
            raise ValueError(f"mcp.servers: {config.name}: {config.document}: {error.strerror}") from error
        except ValueError as error:
            raise ValueError(f"mcp.servers: {config.name}: {error}") from error
        endpoint = parse(config.url, is_plain_allowed=is_plain_allowed)
        if b"?" in endpoint.target:
            raise ValueError(f"mcp.servers: {config.name}: url must have no query")
        self._config = config
        self._identity = identity
        self._renewable: Renewable | None = identity if isinstance(identity, Renewable) else None
        self._authority = endpoint.authority
        self._base = endpoint.target.rstrip(b"/").decode()
        self._own = [*OWN, (b"accept", b"application/json, text/*;q=0.9, */*;q=0.1"), *configured(config.headers)]
        self._own_names = {name for name, _ in self._own} | {b"host", b"content-length", b"content-type"}
        self._client = HttpClient(endpoint, clock, bounds=config.bounds(), tls=config.tls, resolve=resolve)
        self._tools = [operation.tool for operation in self.operations.tools.values()]
        self._failure = ""

    @property
    def name(self) -> str:
        """As configured."""
        return self._config.name

    async def send(self, call: Call, /) -> Reply:
        """Answer `call`, asking the service where it is a tool's; see the port."""
        if call.kind == "stream":
            raise MethodNotAllowed("POST", "This server has nothing to say unasked.")
        if call.kind == "end":
            raise MethodNotAllowed("POST", "This server keeps no sessions.")
        if call.kind != "request" or call.id is None:
            return Reply(202, [])
        result = await self._result(call)
        if call.era == "modern":
            result = {**result, "resultType": "complete"}
        return Reply(200, [JSON], jsonrpc.result(call.id, result))

    async def health(self) -> Mapping[str, Any]:
        """What is known of the service: it is not asked anything of the node's own."""
        pool = self._client.pool
        return {
            "name": self.name,
            "transport": "openapi",
            "state": "unhealthy" if self._failure else "healthy",
            "reasons": [self._failure] if self._failure else [],
            "eras": ["legacy", "modern"],
            "tools": len(self._tools),
            "left_out": list(self.operations.left_out),
            "connections": {"open": pool.open, "idle": pool.idle, "waiting": pool.waiting, "opened": pool.opened},
        }

    async def close(self) -> None:
        """Close every connection."""
        await self._client.close()

    async def _result(self, call: Call) -> dict[str, Any]:
        info = {"name": self.operations.title or self.name, "version": self.operations.version or __version__}
        match call.method:
            case "tools/call":
                return await self._call(call)
            case "tools/list":
                fresh = {"ttlMs": LIST_TTL_MS, "cacheScope": "public"} if call.era == "modern" else {}
                return {"tools": self._tools, **fresh}
            case "initialize":
                asked = call.params.get("protocolVersion")
                version = asked if asked in LEGACY_VERSIONS else LATEST_LEGACY
                return {"protocolVersion": version, "capabilities": {"tools": {}}, "serverInfo": info}
            case "server/discover":
                return {
                    "supportedVersions": list(MODERN_VERSIONS),
                    "capabilities": {"tools": {}},
                    "ttlMs": LIST_TTL_MS,
                    "cacheScope": "public",
                    "_meta": {SERVER_INFO: info},
                }
            case "ping":
                return {}
        raise MethodNotFound(f"{call.method[:100]} is not served here: this server has tools only.")

    async def _call(self, call: Call) -> dict[str, Any]:
        operation = self.operations.tools.get(call.target)
        if operation is None:
            raise InvalidParams(f"Unknown tool: {call.target[:128]}")
        arguments = call.params.get("arguments")
        if arguments is not None and type(arguments) is not dict:
            raise InvalidParams('"arguments" must be an object.')
        try:
            target, fields, body, kind = build(operation, arguments or {})
        except BadArguments as error:
            return answer.failed(str(error))  # for the model to mend
        whole = (self._base + target).encode()
        told: Sequence[Field] = ()
        if self._identity is not None:
            request = Outgoing(operation.verb.encode(), whole, body or b"")
            told = await self._identity(call.caller, call.arrival.headers, request)

        def message(told: Sequence[Field]) -> bytes:
            added = [*_encoded(fields, self._own_names | _names(told)), *told]
            return self._message(operation, whole, added, body, kind)

        try:
            response = await self._client.send(message(told), deadline_s=call.deadline_s)
            if response.status == 401 and self._renewable is not None:
                # Not done, so it may be asked once more with a token that is got anew (`http.as_user`).
                again = await self._renewable.renewed(call.caller, call.arrival.headers, told)
                if again is not None:
                    response = await self._client.send(message(again), deadline_s=call.deadline_s)
        except ConsentRequired:
            raise
        except Refusal as refusal:
            self._failure = refusal.why
            raise
        self._failure = ""
        if isinstance(response.body, BodyStream):
            await response.body.aclose()
            return answer.failed("The service answered with a stream of events, which a tool cannot give.")
        return answer.result(response.status, response.headers, response.body)

    def _message(self, operation: Operation, target: bytes, added: list[Field], body: bytes | None, kind: str) -> bytes:
        if kind:
            added.append((b"content-type", kind.encode()))
        start = prefix(operation.verb.encode(), target, self._authority, self._own)
        needs_length = body is not None or operation.verb in ("POST", "PUT", "PATCH")
        return head(start, added, len(body or b"") if needs_length else None) + (body or b"")


def _encoded(fields: Iterable[tuple[str, str]], taken: Set[bytes]) -> list[Field]:
    """Header parameters of an operation, but for those that the node says itself."""
    return [(name.encode(), value.encode()) for name, value in fields if name.lower().encode() not in taken]


def _names(fields: Iterable[Field]) -> Set[bytes]:
    return {name for name, _ in fields}
