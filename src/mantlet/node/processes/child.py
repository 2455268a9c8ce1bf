"""A worker as its supervisor has it: a process that is started, asked and ended."""

import asyncio
import pickle
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec

from mantlet.events.metrics import Snapshot
from mantlet.node.doors.opening import GRACE_S
from mantlet.node.processes.link import Link
from mantlet.node.processes.worker import Order

ASK_S: Final = 2.0
"""How long a worker may take to answer; one that does not is left out of the answer, not waited for."""
START_S: Final = 30.0
PREPARE_S: Final = 20.0
"""How long a worker may take to open a new configuration."""
KILL_S: Final = 5.0
"""After the grace period, how long until a worker that does not end is killed."""

_PARTS: Final = msgspec.json.Decoder(dict[str, Any])
_ROWS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_FLAG: Final = msgspec.json.Decoder(bool)
_TEXT: Final = msgspec.json.Decoder(str)
_SNAPSHOT: Final = msgspec.json.Decoder(Snapshot)

MakeOrder = Callable[[int, Mapping[str, int]], Order]
"""Takes a worker's number, and the descriptors of its sockets by the door's name."""

T = TypeVar("T")


class Worker:
    """One worker's process and the link to it: a `Member` while it lives."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link, number: int) -> None:
        self.process = process
        self.link = link
        self.number = number

    async def ready(self) -> dict[str, Any]:
        """`ready` and the state of each part."""
        return await self._ask("ready", _PARTS, {"ready": False, "worker": "no answer"})

    async def snapshot(self) -> Snapshot:
        """Its figures."""
        return await self._ask("snapshot", _SNAPSHOT, Snapshot())

    async def connections(self) -> list[dict[str, Any]]:
        """Its open connections."""
        return await self._ask("connections", _ROWS, [])

    async def cache(self) -> dict[str, Any]:
        """What its cache has done."""
        return await self._ask("cache", _PARTS, {"state": "no answer"})

    async def purge_cache(self, what: str) -> bool:
        """Forget a scope of it; whether other nodes were told, and it answered."""
        return await self._ask("purge_cache", _FLAG, False, load=what.encode())

    async def upstreams(self) -> list[dict[str, Any]]:
        """Its upstreams' states."""
        return await self._ask("upstreams", _ROWS, [])

    async def prepare(self, config: bytes) -> str:
        """Have it open a new configuration (pickled) beside the one in force; gives why it cannot, or nothing."""
        return await self._ask("prepare", _TEXT, "a worker did not answer", PREPARE_S, config)

    async def retire(self) -> bool:
        """Have it end what it does and go: its place is taken."""
        return await self._ask("retire", _FLAG, False)

    async def decide(self, what: str) -> bool:
        """`commit` what was prepared, or `abort` it."""
        return await self._ask(what, _FLAG, False, PREPARE_S)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, if it still is."""
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def ended(self) -> None:
        """Once it has ended by itself, or is killed for taking longer than its grace."""
        try:
            async with asyncio.timeout(GRACE_S + KILL_S):
                await self.process.wait()
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def _ask(
        self, what: str, answer: msgspec.json.Decoder[T], otherwise: T, timeout_s: float = ASK_S, load: bytes = b""
    ) -> T:
        try:
            return answer.decode(await self.link.ask(what, timeout_s, load))
        except (TimeoutError, EOFError, msgspec.MsgspecError):
            return otherwise


async def start(number: int, order: MakeOrder, listening: Mapping[str, socket.socket]) -> Worker | int:
    """A worker that serves, or the exit status of one that does not (below 0: the signal that ended it). It listens
    where `listening` does."""
    ours, theirs = socket.socketpair()
    sockets = {name: one.fileno() for name, one in listening.items()}
    with theirs:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "mantlet.node.processes.worker", str(theirs.fileno())),
            pass_fds=[theirs.fileno(), *sockets.values()],
            start_new_session=True,  # Ctrl-C is for the supervisor, who then tells the workers
        )
    link = await Link.over(ours)
    link.send(pickle.dumps(order(number, sockets)))
    try:
        async with asyncio.timeout(START_S):
            await link.receive()
    except (EOFError, TimeoutError):
        with suppress(ProcessLookupError):
            process.kill()
        return await process.wait()
    except asyncio.CancelledError:  # the node ends
        with suppress(ProcessLookupError):
            process.kill()
        raise
    return Worker(process, link, number)
