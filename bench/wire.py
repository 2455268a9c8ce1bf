"""The bytes that the load generator sends, and what it reads of an answer. No IO here."""

from typing import Literal

import msgspec

Era = Literal["modern", "legacy"]
Door = Literal["http", "websocket", "tcp"]
Method = Literal["tools/call", "tools/list"]
MODERN = "2026-07-28"
LEGACY = "2025-11-25"
TOOL = "echo"

_CLIENT = '{"name":"bench","version":"1.0.0"}'
META = (
    f'"_meta":{{"io.modelcontextprotocol/protocolVersion":"{MODERN}","io.modelcontextprotocol/clientInfo":{_CLIENT},'
    '"io.modelcontextprotocol/clientCapabilities":{}}'
).encode()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What one round asks of the load generator."""

    host: str = "127.0.0.1"
    port: int
    path: str
    tokens: list[str] = []
    """Taken in turn, call by call; several are several callers."""
    sessions: list[str] = []
    """Legacy sessions of the first token's caller, used in turn; none: each client opens its own."""
    credential: str = "authorization: Bearer"
    """What stands before a token: the header and, where there is one, the scheme."""
    door: Door = "http"
    """What the messages travel in; `path` is of the endpoint all the same."""
    era: Era = "modern"
    method: Method = "tools/call"
    tool: str = TOOL
    concurrency: int = 1
    seconds: float = 1.0
    calls: int = 0
    """When not 0, this many calls instead of so many seconds."""
    pause_s: float = 0.0
    """Between an answer and the next call of the same client; 0: at once."""
    warm_up_calls: int = 50
    """Per connection."""
    tools: int = 0
    """How many tools a list must have."""
    may_refuse: bool = False
    """Whether 429 and 503 are answers like others; the client then tries again at once."""
    pad_bytes: int = 64
    """Length of the message that is echoed."""
    distinct: int = 0
    """Say one of so many messages, the first by far the oftenest (Zipf's law); 0: each time a new one."""
    skew: float = 1.0
    """The exponent of that law."""
    seed: int = 1


class Result(msgspec.Struct, kw_only=True):
    """What came of one round. Times are seconds; `wrong` are answers with a foreign id or content."""

    calls: int
    seconds: float
    p50_s: float
    p99_s: float
    wrong: int
    failed: int
    own_cpu_s: float
    refused: int = 0
    """Of `calls`, those that were turned away; the other latencies do not hold them."""
    refused_p99_s: float = 0.0
    first_failure: str = ""


class _Item(msgspec.Struct):
    text: str = ""


class _Result(msgspec.Struct):
    content: list[_Item] = []
    tools: list[msgspec.Raw] = []


class _Answer(msgspec.Struct):
    id: int | str | None = None
    result: _Result | None = None


_decode = msgspec.json.Decoder(_Answer).decode


def head(job: Job, token: str, session: str = "", method: str = "") -> bytes:
    """A request's head up to the value of content-length."""
    lines = [
        f"POST {job.path} HTTP/1.1",
        f"host: {job.host}:{job.port}",
        "content-type: application/json",
        "accept: application/json, text/event-stream",
        "user-agent: bench",
    ]
    if token:
        lines.append(f"{job.credential} {token}")
    if job.era == "modern":
        lines += [f"mcp-protocol-version: {MODERN}", f"mcp-method: {method or job.method}"]
        if (method or job.method) == "tools/call":
            lines.append(f"mcp-name: {job.tool}")
    elif session:
        lines += [f"mcp-protocol-version: {LEGACY}", f"mcp-session-id: {session}"]
    return ("\r\n".join(lines) + "\r\ncontent-length: ").encode()


def body(job: Job, id_: int, message: str) -> bytes:
    """A call with an id and a message of its own."""
    meta = META if job.era == "modern" else b""
    if job.method == "tools/list":
        params = b"{%s}" % meta
    else:
        arguments = b'"name":"%s","arguments":{"message":"%s"}' % (job.tool.encode(), message.encode())
        params = b"{%s,%s}" % (arguments, meta) if meta else b"{%s}" % arguments
    return b'{"jsonrpc":"2.0","id":%d,"method":"%s","params":%s}' % (id_, job.method.encode(), params)


def initialize() -> bytes:
    """The first message of a legacy session."""
    return (
        '{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"capabilities":{},'
        f'"protocolVersion":"{LEGACY}","clientInfo":{_CLIENT}}}}}'
    ).encode()


INITIALIZED = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'


def is_right(job: Job, id_: int, message: str, answer: bytes) -> bool:
    """Whether `answer` (JSON, or an event stream that ends with it) is the one to this call and no other."""
    if not answer.startswith(b"{"):
        data = [line[5:] for line in answer.splitlines() if line.startswith(b"data:") and len(line) > 6]
        if not data:
            return False
        answer = data[-1]
    try:
        decoded = _decode(answer)
    except msgspec.MsgspecError:
        return False
    if decoded.id != id_ or type(decoded.id) is bool or decoded.result is None:
        return False
    if job.method == "tools/list":
        return len(decoded.result.tools) == job.tools
    return bool(decoded.result.content) and decoded.result.content[0].text == message
