"""Callers that keep their connections and call without a pause, and remember whatever is not a whole, right answer."""

import http.client
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from bench.rig.gateway import Gateway

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@dataclass
class Load:
    """`callers` threads. Nothing is tried again: an answer that a connection's end has cost counts as failed."""

    gateway: Gateway
    callers: int = 8
    server: str = "sdk"
    tool: str = "echo"
    pause_s: float = 0.0
    per_connection: int = 0
    """Calls on one connection before the client gives it up by itself; 0: until the node closes it."""
    served: int = 0
    longest_s: float = 0.0
    failures: list[str] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    """The node's ids of the requests that were answered."""
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __enter__(self) -> "Load":
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(self.callers)]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(60)

    def until(self, served: int, within_s: float = 60.0) -> None:
        """Wait until so many more calls were answered."""
        wanted, until_s = self.served + served, time.monotonic() + within_s
        while self.served < wanted:
            assert time.monotonic() < until_s, f"{self.served} of {wanted}; {self.failures[:3]}"
            time.sleep(0.01)

    def _call(self, number: int) -> None:
        count, connection = 0, _connection(self.gateway)
        while not self._over.is_set():
            count += 1
            began_s = time.monotonic()
            try:
                said = f"{number}-{count}"
                answer = self._ask(connection, said)
                if said not in answer:
                    raise ValueError(answer[:200])
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self._lock:
                    self.failures.append(f"{type(error).__name__}: {error}")
                connection.close()
            with self._lock:
                self.served += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began_s)
            if self.per_connection and count % self.per_connection == 0:
                connection.close()
            if self.pause_s:
                self._over.wait(self.pause_s)
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection, said: str) -> str:
        headers, body = _call(self.gateway, self.tool, {"message": said})
        connection.request("POST", f"/mcp/{self.server}", body, headers)
        answer = connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            raise ValueError(f"{answer.status}: {text[:200]}")
        self.acknowledged.append(answer.headers["x-request-id"])
        return text


def _connection(gateway: Gateway) -> http.client.HTTPConnection:
    port = int(gateway.url.rpartition(":")[2])
    if gateway.trust is None:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=gateway.trust)


def call_bytes(gateway: Gateway, server: str, tool: str, arguments: dict[str, Any]) -> bytes:
    """A whole request, as it goes over the wire."""
    headers, body = _call(gateway, tool, arguments)
    headers |= {"Host": gateway.url.rpartition("/")[2], "Content-Length": str(len(body))}
    head = f"POST /mcp/{server} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return head.encode() + b"\r\n" + body


def _call(gateway: Gateway, tool: str, arguments: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    params = {"name": tool, "arguments": arguments, "_meta": META}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}).encode()
    headers = {
        "Authorization": f"Bearer {gateway.token}",
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
    }
    return headers, body
