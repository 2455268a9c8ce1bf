"""The admin API of a running node."""

import json
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from mantlet.ops.remote.http import Address, Refused, accepted, send

_REFUSED: Final = 422


class Admin:
    """Each method is one request; all raise `NodeError`."""

    def __init__(self, address: Address) -> None:
        self._address = address

    def health(self) -> dict[str, Any]:
        """What `/health` says: `up` in `status`, and the HTTP status beside it. A node that is down answers 503."""
        answer = send(self._address, "GET", "/health")
        if answer.status not in (200, 503):
            accepted(answer)
        told = answer.json
        return {"http_status": answer.status, **(told if isinstance(told, dict) else {})}

    def status(self) -> dict[str, Any]:
        """Version, environment, workers, uptime and the state of each part. Needs the role admin, like all below."""
        return self._get("status")

    def overview(self) -> dict[str, Any]:
        """`health`, and `status` too where the token allows it; who may not see more is told only up or down."""
        told = self.health()
        told.setdefault("status", "up" if told["http_status"] == 200 else "down")
        if self._address.token is None:
            return told
        try:
            return {**self.status(), **told}
        except Refused as error:
            if error.status not in (401, 403):
                raise
            return {**told, "note": f"no details: {error.detail}"}

    def connections(self) -> list[dict[str, Any]]:
        """Open connections."""
        return list(self._get("connections").get("connections", []))

    def upstreams(self) -> list[dict[str, Any]]:
        """Each upstream's state."""
        return list(self._get("upstreams").get("upstreams", []))

    def limit(self, client: str) -> dict[str, Any]:
        """A client's windows."""
        return self._get(_windows_of(client))

    def reset_limit(self, client: str) -> dict[str, Any]:
        """Forget a client's windows."""
        told = accepted(send(self._address, "DELETE", f"/admin/v1/{_windows_of(client)}")).json
        return told if isinstance(told, dict) else {}

    def blocks(self) -> list[dict[str, Any]]:
        """Addresses that are blocked."""
        return list(self._get("blocks").get("blocks", []))

    def block(self, address: str, for_s: float = 0) -> dict[str, Any]:
        """Block an address; for 0 seconds means: as long as its history says."""
        lasting = f"&for={for_s:g}" if for_s else ""
        return self._change("POST", f"blocks?address={quote(address, safe='')}{lasting}")

    def unblock(self, address: str) -> dict[str, Any]:
        """Let it in again."""
        return self._change("DELETE", f"blocks?address={quote(address, safe='')}")

    def reload(self) -> dict[str, Any]:
        """Have the node take up its files; `result` is `reloaded`, `unchanged` or `refused`, with `reasons`."""
        answer = send(self._address, "POST", "/admin/v1/reload")
        told = (answer if answer.status == _REFUSED else accepted(answer)).json
        return told if isinstance(told, dict) else {}

    def restart(self) -> dict[str, Any]:
        """Have the node exchange its workers; gives how that stands."""
        return self._change("POST", "restart")

    def restarted(self) -> dict[str, Any]:
        """How the exchange stands: `state`, `replaced`, `of`, `why`."""
        return self._get("restart")

    def leave(self, after_s: float) -> dict[str, Any]:
        """Have the node end with notice."""
        return self._change("POST", f"leave?after={after_s:g}")

    def stay(self) -> dict[str, Any]:
        """Take that back; `was_leaving`."""
        return self._change("DELETE", "leave")

    def cache(self) -> list[dict[str, Any]]:
        """What each worker's cache has done."""
        return list(self._get("cache").get("cache", []))

    def purge_cache(self, server: str = "", kind: str = "") -> dict[str, Any]:
        """Have all workers, and all nodes of the same store, forget answers."""
        return self._change("DELETE", f"cache?server={quote(server, safe='')}&kind={quote(kind, safe='')}")

    def kills(self) -> list[dict[str, Any]]:
        """Agents, tools, upstreams and callers that are stopped."""
        return list(self._get("kills").get("kills", []))

    def kill(self, kind: str, name: str, reason: str = "") -> dict[str, Any]:
        """Stop one."""
        return self._change("POST", f"{_switch(kind, name)}&reason={quote(reason, safe='')}")

    def unkill(self, kind: str, name: str) -> dict[str, Any]:
        """Let it go on."""
        return self._change("DELETE", _switch(kind, name))

    def drain(self, server: str, endpoint: str, for_s: float) -> dict[str, Any]:
        """Let an endpoint take no new calls, and be stopped `for_s` seconds from now."""
        return self._change("POST", f"{_endpoint(server, endpoint)}&for={for_s:g}")

    def undrain(self, server: str, endpoint: str) -> dict[str, Any]:
        """Let it take calls again."""
        return self._change("DELETE", _endpoint(server, endpoint))

    def pins(self) -> list[dict[str, Any]]:
        """Definitions: what is in quarantine, then what is pinned."""
        return list(self._get("pins").get("pins", []))

    def pin(self, server: str, kind: str, name: str) -> dict[str, Any]:
        """What is in quarantine under this name, against what is pinned."""
        return self._get(_pin_of(server, kind, name))

    def approve_pin(self, server: str, kind: str, name: str, digest: str) -> dict[str, Any]:
        """Pin what is in quarantine, if it still has this hash."""
        return self._change("POST", f"{_pin_of(server, kind, name)}&hash={quote(digest, safe='')}")

    def reject_pin(self, server: str, kind: str, name: str, digest: str) -> dict[str, Any]:
        """Say no to what is in quarantine, if it still has this hash."""
        return self._change("DELETE", f"{_pin_of(server, kind, name)}&hash={quote(digest, safe='')}")

    def approvals(self) -> list[dict[str, Any]]:
        """Calls that wait for a human's yes, and those decided of late."""
        return list(self._get("approvals").get("approvals", []))

    def approval(self, request_id: str) -> dict[str, Any]:
        """One with all its arguments."""
        return self._get(f"approvals/{quote(request_id, safe='')}")

    def decide(self, request_id: str, decision: str, note: str = "") -> dict[str, Any]:
        """`approve` or `deny` it."""
        path = f"approvals/{quote(request_id, safe='')}?decision={quote(decision, safe='')}"
        return self._change("POST", f"{path}&note={quote(note, safe='')}")

    def explain(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """What the node would decide, and how."""
        json_body = {"content-type": "application/json"}
        body = json.dumps(question).encode()
        told = accepted(send(self._address, "POST", "/admin/v1/explain", body=body, headers=json_body)).json
        return told if isinstance(told, dict) else {}

    def _change(self, verb: str, path: str) -> dict[str, Any]:
        told = accepted(send(self._address, verb, f"/admin/v1/{path}")).json
        return told if isinstance(told, dict) else {}

    def _get(self, path: str) -> dict[str, Any]:
        told = accepted(send(self._address, "GET", f"/admin/v1/{path}")).json
        return told if isinstance(told, dict) else {}


def _switch(kind: str, name: str) -> str:
    return f"kills?kind={quote(kind, safe='')}&name={quote(name, safe='')}"


def _endpoint(server: str, endpoint: str) -> str:
    return f"endpoints?server={quote(server, safe='')}&endpoint={quote(endpoint, safe='')}"


def _windows_of(client: str) -> str:
    """A client's name holds slashes, often an issuer's URL; in a path the listener refuses them in any spelling."""
    return f"limits?client={quote(client, safe='')}"


def _pin_of(server: str, kind: str, name: str) -> str:
    return "pins?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in
                              (("server", server), ("kind", kind), ("name", name)))  # fmt: skip
