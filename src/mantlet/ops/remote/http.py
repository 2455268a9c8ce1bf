"""One request to a node and its whole answer, on the standard library: a command line must start in an instant.

No redirects are followed and no proxy is taken from the environment: the token goes where it was meant to go.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from mantlet.core.secret import Secret

MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024


class NodeError(Exception):
    """A node did not do what was asked. The message is for a person."""


class NodeUnreachable(NodeError):
    """Nothing answered, or nothing that speaks HTTP."""


class Refused(NodeError):
    """The node said no. `reason` is its stable word, empty when it gave none."""

    def __init__(self, status: int, reason: str, detail: str, request_id: str = "", hint: str = "") -> None:
        said = f"{detail} ({reason})" if reason else detail
        request = f" [request {request_id}]" if request_id else ""
        super().__init__(f"refused with {status}: {said}{request}" + (f"\n{hint}" if hint else ""))
        self.status = status
        self.reason = reason
        self.detail = detail
        self.request_id = request_id


@dataclass(frozen=True, slots=True)
class Address:
    """Where a node listens, and the token to show there."""

    url: str
    token: Secret | None = None
    timeout_s: float = 30.0

    @property
    def tells_token_in_clear(self) -> bool:
        """Whether the token would cross a network unencrypted."""
        return self.token is not None and self.url.lower().startswith("http://") and not self.is_local

    @property
    def is_local(self) -> bool:
        """Whether it is an address of this machine's own."""
        try:
            return _is_loopback(urlsplit(self.url).hostname or "")
        except ValueError:
            return False


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The decoded body; raises `NodeError` when it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError as error:
            raise NodeError(f"the answer ({self.status}) is not JSON: is this a Mantlet node?") from error


def send(
    address: Address, verb: str, path: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """One request and its answer, whatever its status. Raises `NodeUnreachable`."""
    fields = {"accept": "application/json", **(headers or {})}
    if address.token is not None:
        fields["authorization"] = f"Bearer {address.token.reveal()}"
    connection = _connection(address)
    try:
        connection.request(verb, path, body=body, headers=fields)
        response = connection.getresponse()
        content = response.read(MAX_ANSWER_BYTES + 1)
        if len(content) > MAX_ANSWER_BYTES:
            raise NodeError(f"the answer is larger than {MAX_ANSWER_BYTES} bytes")
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, content)
    except (OSError, http.client.HTTPException) as error:
        raise NodeUnreachable(f"no answer from {address.url}: {_why(error)}") from error
    except ValueError as error:  # http.client refuses line ends in headers; the value may be the token
        raise NodeError("the token or an argument holds characters that cannot stand in a header") from error
    finally:
        connection.close()


def accepted(answer: Answer) -> Answer:
    """`answer` if it is a success; else raises `Refused` with what the node said (RFC 9457, or a JSON-RPC error)."""
    if answer.status < 400:
        return answer
    try:
        problem = json.loads(answer.body)
    except ValueError:
        problem = None
    said = problem if isinstance(problem, dict) else {}
    error = said.get("error")
    inner = error if isinstance(error, dict) else {}
    data = inner.get("data")
    notes = data if isinstance(data, dict) else {}
    detail = said.get("detail") or inner.get("message") or (error if isinstance(error, str) else "")
    raise Refused(
        answer.status,
        str(said.get("reason") or notes.get("reason") or ""),
        str(detail or http.client.responses.get(answer.status, "no reason given")),
        answer.headers.get("x-request-id", ""),
        _hint(answer.headers.get("retry-after", ""), {**said, **notes}),
    )


def _hint(retry_after: str, notes: Mapping[str, Any]) -> str:
    """What to do about a refusal, where the node said so."""
    if isinstance(approval := notes.get("approval"), str) and approval:
        return f"the request for approval: `mantlet approvals show {approval}`"
    return f"try again in {retry_after} s" if retry_after.isdecimal() else ""


def _connection(address: Address) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(address.url)
        port = parts.port
    except ValueError as error:
        raise NodeError(f"{address.url} is not a URL") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise NodeError(f"{address.url} is not an http:// or https:// URL")
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(parts.hostname, port, timeout=address.timeout_s, context=context)
    return http.client.HTTPConnection(parts.hostname, port, timeout=address.timeout_s)


def _why(error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return "nothing listens there; is the node running?"
        case TimeoutError():
            return "it took too long"
        case socket.gaierror():
            return "the name is not known"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({error.verify_message}); SSL_CERT_FILE names another authority"
        case ssl.SSLError(reason="WRONG_VERSION_NUMBER"):
            return "it does not speak TLS (http:// instead of https://?)"
        case http.client.RemoteDisconnected():
            return "it closed the connection without an answer"
        case http.client.HTTPException():
            return "it does not speak HTTP (https:// instead of http://?)"
        case _:
            return str(error)


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
