"""What walks the path: an `Arrival` until its body is read, a `Call` after.

Two types, so that a policy which needs a tool's name cannot be placed before the parser.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from mantlet.core.caller import Caller
from mantlet.core.certificate import PeerCertificate
from mantlet.core.headers import Headers
from mantlet.core.key_proof import KeyProof
from mantlet.core.record import Trail
from mantlet.core.said import Said

Era = Literal["modern", "legacy"]
Kind = Literal["request", "notification", "response", "stream", "end"]
"""`stream` and `end` are the legacy GET (server-to-client stream) and DELETE (end of session)."""

ReadBody = Callable[[], Awaitable[bytes]]


class Incoming(Protocol):
    """A body that did not come whole with its head, for who passes it on as it comes instead of reading it."""

    @property
    def length(self) -> int | None:
        """In bytes, as announced; None when only its end will tell."""
        ...

    def admit(self, max_bytes: int, /) -> None:
        """Take up to `max_bytes` of it, whatever the listener allows for bodies that are read whole.

        Raises `PayloadTooLarge` for one that is announced, or already, larger.
        """
        ...

    async def part(self) -> bytes:
        """What has come since the last part, or empty at the end. Its sender is held back while nobody takes it.

        Raises `PayloadTooLarge`, `ReceiptTimeout` or `Malformed`; for one reader.
        """
        ...


@dataclass(slots=True)
class Arrival:
    """A request whose head is known and whose body is unread.

    `path` is the request target's path, decoded once (HTTP-01); `peer` is the first untrusted hop.
    `read` gives the whole body or raises a `Refusal` (413, 408, 415); it is called at most once.
    `deadline_s` is on the monotonic clock.
    """

    verb: str
    path: str
    query: bytes
    headers: Headers
    peer: str
    read: ReadBody
    deadline_s: float
    trail: Trail
    is_tls: bool = False
    caller: Caller | None = None
    is_message: bool = False
    """It came as a bare message (WebSocket, TCP, stdio): no header of it repeats what its body says."""
    peer_certificate: PeerCertificate | None = None
    """What the client showed when its connection opened, verified there; never out of a header (TLS-02)."""
    body: bytes | None = None
    """The body, where it came whole with the head: then nobody has to wait for `read`."""
    incoming: Incoming | None = None
    proof: KeyProof | None = None
    """The answer to a challenge of the door's, where that stands for a credential."""
    """The same body as `read` gives, for who takes it part by part; None where it came whole, or there is none."""


@dataclass(slots=True)
class Hints:
    """How long an answer is good and for whom, as its server said it: for who keeps answers, where it can no longer be
    read from the answer because that crossed from one era of MCP to the other."""

    has_crossed: bool = False
    ttl_ms: float | None = None
    """None: the server said nothing."""
    is_public: bool = False


@dataclass(slots=True)
class Call:
    """One message on its way through: parsed, and authenticated.

    `body` is exactly what came in and, unless a policy says otherwise, exactly what goes out (VAL-02).
    `params` is `body`'s, strictly decoded. `target` is what the method acts on (tool, prompt, URI).
    `server` names one upstream, or is empty for all servers as one.
    """

    arrival: Arrival
    caller: Caller
    kind: Kind
    era: Era
    server: str
    method: str
    target: str
    params: Mapping[str, Any]
    body: bytes
    id: bytes | None
    """The JSON-RPC id as raw JSON; None for notifications."""
    deadline_s: float
    session: str = ""
    """A legacy session id as the client sent it."""
    message: Mapping[str, Any] = field(default_factory=dict)
    """The whole decoded envelope."""
    view: str = ""
    """The virtual server that the caller sees; empty for one server, or for all as one."""
    hints: Hints | None = None
    """Filled in on the way by who lets an answer cross; None where nobody wants to know."""
    said: Said | None = None
    """Where answers are kept: what it says apart from its id, and what is known of that."""

    @property
    def trail(self) -> Trail:
        """The notes of this call."""
        return self.arrival.trail


@dataclass(slots=True)
class Reply:
    """What goes back. `body` is whole, or a stream whose chunks are sent as they come.

    Whoever holds a streaming reply and does not send it must `aclose` the stream: that is what
    cancels the work upstream.
    """

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes | AsyncIterator[bytes] = b""
    origin: Literal["upstream", "node"] = "upstream"
    upgrade: Callable[[Any], Any] | None = None
    """With status 101: takes the connection over once the head is sent. What it is given and gives is the listener's
    affair (`listeners.http.handover`)."""
    holds: bool = False
    """Who gets it is slowed: what its connection says next is not listened to for a while."""
    length: int | None = None
    """Bytes of a body that streams, where its source has promised how many; with HEAD, of the body that GET would give.
    """

    @property
    def is_stream(self) -> bool:
        """Whether the body comes in chunks."""
        return not isinstance(self.body, bytes)

    def header(self, name: bytes) -> bytes | None:
        """The first value of `name` (lower case), or None."""
        for field_name, value in self.headers:
            if field_name == name:
                return value
        return None
