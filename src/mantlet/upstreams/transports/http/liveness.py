"""Whether a server lives, asked in its own era: `server/discover`, or `ping` in a legacy session kept for that.

A session of its own, because many legacy servers begin one at each request that names none, and keep it.
"""

from contextlib import suppress
from typing import Final

from mantlet.core.refusal import BadUpstream, Refusal
from mantlet.upstreams.client import HttpClient
from mantlet.upstreams.transports.http.detection import Detection
from mantlet.upstreams.transports.http.probes import Probes

_ALIVE: Final = 429
"""Who limits the node's probes has answered one."""
_GONE: Final = 404


class Liveness:
    """`upstreams.health.prober.Probe` for MCP. `client` is its own, and closed with it.

    `is_for_users`: the server answers nobody but callers with a grant of their own. That it refuses the node is then
    the sign of life.
    """

    def __init__(self, client: HttpClient, probes: Probes, detection: Detection, *, is_for_users: bool = False) -> None:
        self._client = client
        self._probes = probes
        self._detection = detection
        self._is_for_users = is_for_users
        self._session: bytes | None = None
        self._is_opened = False

    async def __call__(self, _timeout_s: float) -> None:
        """Ask once. Raises a `Refusal` for no good answer; whoever calls bounds the time."""
        if self._is_for_users:
            status = await self._probes.discover_status()
            if status in (401, 403):
                return
        else:
            found = self._detection.current or await self._detection.find()
            status = await (self._probes.discover_status() if "modern" in found.eras else self._legacy())
        if status != _ALIVE and (status >= 500 or status in (401, 403, 407, 408) or 300 <= status < 400):
            raise BadUpstream(why=f"it answered {status}")

    async def close(self) -> None:
        """End the session and the connection."""
        session, self._session = self._session, None
        if session is not None:
            with suppress(Refusal):
                await self._probes.end(session)
        await self._client.close()

    async def _legacy(self) -> int:
        if self._is_opened:
            status = await self._probes.ping(self._session)
            if status != _GONE:
                return status
        status, self._session = await self._probes.open_session()
        self._is_opened = status == 200
        return status
