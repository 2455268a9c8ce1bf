"""The documents that strangers may read: where to get a token for this resource (RFC 9728)."""

from collections.abc import Awaitable, Collection, Sequence
from typing import Final
from urllib.parse import urlsplit

from mantlet.core.call import Arrival, Reply
from mantlet.core.headers import JSON
from mantlet.core.policy import ArrivalHandler
from mantlet.core.refusal import MethodNotAllowed, NotFound
from mantlet.wire import jsonrpc

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
KEY_SET: Final = "/.well-known/jwks.json"
_BELOW: Final = f"{WELL_KNOWN}/"
_HEADERS: Final = [JSON, (b"cache-control", b"public, max-age=300")]


class Published:
    """Answers the listed paths and passes everything else on (AUTHN-01: these are the exceptions).

    Below `WELL_KNOWN` what is not listed is not there, for strangers too (OAUTH-01): a client that looks for metadata
    in several places goes on after a 404, and would take a 401 there for the beginning of another search.
    """

    def __init__(
        self,
        public_url: str,
        paths: Sequence[str],
        authorization_servers: Sequence[str],
        scopes: Collection[str] = (),
        proof_algorithms: Sequence[str] = (),
        key_set: bytes = b"",
    ) -> None:
        """`scopes` are what a first token needs; more are named by the challenge of the call that wants them."""
        base = urlsplit(public_url).path.rstrip("/")
        root = public_url.rstrip("/")
        # The well-known segment stands between host and path (RFC 9728 section 3.1).
        self._documents = {
            f"{WELL_KNOWN}{base}{path}": _document(f"{root}{path}", authorization_servers, scopes, proof_algorithms)
            for path in paths
        }
        if key_set:
            self._documents[KEY_SET] = key_set

    @property
    def paths(self) -> Collection[str]:
        """What strangers may read."""
        return self._documents.keys()

    def __call__(self, arrival: Arrival, onward: ArrivalHandler, /) -> Awaitable[Reply]:
        """Answer a listed document, or pass on."""
        document = self._documents.get(arrival.path)
        if document is None:
            if arrival.path.startswith(_BELOW) or arrival.path == WELL_KNOWN:
                raise NotFound
            return onward(arrival)
        return self._answer(arrival, document)

    async def _answer(self, arrival: Arrival, document: bytes) -> Reply:
        arrival.trail.action, arrival.trail.rule = f"{arrival.verb} {WELL_KNOWN}", "published"
        if arrival.verb != "GET":
            raise MethodNotAllowed("GET")
        return Reply(200, list(_HEADERS), document, origin="node")


def _document(
    resource: str, authorization_servers: Sequence[str], scopes: Collection[str], proof_algorithms: Sequence[str]
) -> bytes:
    document: dict[str, object] = {"resource": resource, "bearer_methods_supported": ["header"]}
    if authorization_servers:
        document["authorization_servers"] = list(authorization_servers)
    # Minimal: no wildcard, and no `offline_access`, which is between the client and the issuer (OAUTH-01).
    if named := sorted(scope for scope in scopes if "*" not in scope and scope != "offline_access"):
        document["scopes_supported"] = named
    if authorization_servers and proof_algorithms:
        document["dpop_signing_alg_values_supported"] = list(proof_algorithms)
    return jsonrpc.encode(document)
