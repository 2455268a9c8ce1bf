"""One question to an introspection endpoint, and what its answer says (RFC 7662 section 2; OAUTH-05)."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote, urlencode

from mantlet.core.ports import Fetch, Fetched
from mantlet.core.refusal import InvalidCredential, InvalidJson, IssuerUnavailable, Refusal
from mantlet.core.secret import Secret
from mantlet.wire.jsonrpc import Bounds, decode

TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 65_536
_BOUNDS: Final = Bounds(max_depth=16, max_keys=1000)
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")
_ACCEPT: Final = (b"accept", b"application/json")


@dataclass(frozen=True, slots=True)
class Client:
    """Who asks: this node, as the issuer knows it (`client_secret_basic`)."""

    id: str
    secret: Secret = field(repr=False)

    @property
    def authorization(self) -> bytes:
        """RFC 6749 section 2.3.1: both are form-encoded first, which the plain Basic scheme does not do."""
        pair = f"{quote(self.id, safe='')}:{quote(self.secret.reveal(), safe='')}"
        return b"Basic " + base64.b64encode(pair.encode())


async def ask(fetch: Fetch, url: str, client: Client, token: bytes) -> Mapping[str, Any]:
    """What the issuer says of an active `token`.

    Raises `InvalidCredential` for one that is not, `IssuerUnavailable` when the issuer does not answer the question.
    """
    form = urlencode({"token": token.decode("ascii"), "token_type_hint": "access_token"}).encode()
    headers = (_FORM, _ACCEPT, (b"authorization", client.authorization))
    try:
        answer = await fetch("POST", url, headers=headers, body=form, timeout_s=TIMEOUT_S, max_bytes=MAX_BYTES)
    except Refusal as error:
        raise IssuerUnavailable(why=f"introspection: {error.why}") from error
    return read(answer)


def read(answer: Fetched) -> Mapping[str, Any]:
    """The claims of an answer; see `ask`. Only the boolean true is active: neither 1 nor "true" is."""
    if answer.status != 200:
        raise IssuerUnavailable(why=f"introspection: answered with {answer.status}")
    try:
        claims = decode(answer.body, _BOUNDS)
    except InvalidJson as error:
        raise IssuerUnavailable(why="introspection: the answer is not strict JSON") from error
    if type(claims) is not dict:
        raise IssuerUnavailable(why="introspection: the answer is no object")
    if claims.get("active") is not True:
        raise InvalidCredential("token: the issuer says that it is not active")
    return claims
