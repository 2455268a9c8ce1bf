"""The workers of a node: started, asked, started again when they die, drained at the end."""

import asyncio
import pickle
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Final, TypeVar

import msgspec
import structlog

from mantlet.core.config_error import ConfigError
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Snapshot
from mantlet.node.config.model import Config
from mantlet.node.doors.opening import GRACE_S
from mantlet.node.processes.link import Link
from mantlet.node.processes.sockets import Sockets
from mantlet.node.processes.worker import Order

ASK_S: Final = 2.0
"""How long a worker may take to answer; one that does not is left out of the answer, not waited for."""
START_S: Final = 30.0
FIRST_STARTS: Final = 5
"""How often a worker that is killed while it starts is started, when the node does."""
PREPARE_S: Final = 20.0
"""How long a worker may take to open a new configuration."""
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 10.0
"""Between two starts of a worker that keeps dying (RES-06); a minute of life earns a fresh beginning."""
PROVEN_S: Final = 60.0
KILL_S: Final = 5.0
"""After the grace period, how long until a worker that does not end is killed."""

_PARTS: Final = msgspec.json.Decoder(dict[str, Any])
_ROWS: Final = msgspec.json.Decoder(list[dict[str, Any]])
_FLAG: Final = msgspec.json.Decoder(bool)
_TEXT: Final = msgspec.json.Decoder(str)
_SNAPSHOT: Final = msgspec.json.Decoder(Snapshot)

MakeOrder = Callable[[int, Mapping[str, int]], Order]
"""Takes a worker's number, and the descriptors of its sockets by the door's name."""

log: Final = structlog.get_logger("mantlet")
T = TypeVar("T")


class Worker:
    """One worker's process and the link to it: a `Member` while it lives."""

    def __init__(self, process: asyncio.subprocess.Process, link: Link, number: int) -> None:
        self.process = process
        self.link = link
        self.number = number
        self.is_retiring = False
        """Another has taken its place."""

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
        self.is_retiring = True
        return await self._ask("retire", _FLAG, False)

    async def decide(self, what: str) -> bool:
        """`commit` what was prepared, or `abort` it."""
        return await self._ask(what, _FLAG, False, PREPARE_S)

    async def _ask(
        self, what: str, answer: msgspec.json.Decoder[T], otherwise: T, timeout_s: float = ASK_S, load: bytes = b""
    ) -> T:
        try:
            return answer.decode(await self.link.ask(what, timeout_s, load))
        except (TimeoutError, EOFError, msgspec.MsgspecError):
            return otherwise


class Workers:
    """All workers of a node. `started` gives how many serve; `drain` ends them."""

    def __init__(self, order: MakeOrder, count: int, tasks: Tasks, sockets: Sockets) -> None:
        self._order, self._sockets = order, sockets
        self._leaving: set[Worker] = set()
        self._replacing: set[int] = set()
        self._turn = asyncio.Lock()
        """A worker starts with the configuration that is in force when it serves: not while another is taken up."""
        self._count = count
        self._tasks = tasks
        self._alive: dict[int, Worker] = {}
        self._is_draining = False
        self.restarts = 0

    def members(self) -> list[Worker]:
        """Those that serve now."""
        return [worker for _, worker in sorted(self._alive.items())]

    async def start(self) -> bool:
        """Start all; False when one gives up by itself, which a second try would not mend."""
        started = await asyncio.gather(*(self._begin(number) for number in range(self._count)))
        for worker in started:
            if worker is not None:
                self._tasks.start(self._keep(worker.number, worker), f"worker:{worker.number}")
        return None not in started

    async def _begin(self, number: int) -> Worker | None:
        """The first start. One that is killed meanwhile has shown nothing about the next."""
        for _ in range(FIRST_STARTS):
            worker = await self._start(number)
            if isinstance(worker, Worker):
                return worker
            if worker >= 0:
                break
            log.error("worker.ended", number=number, exit_code=worker)
        return None

    async def replace(self, done: Callable[[int], object]) -> None:
        """Put a new worker in the place of each, one after the other: it serves before the old one leaves.

        `done` is told how many are. Raises `ConfigError` when a new one does not come up; the old ones serve on.
        """
        for count, old in enumerate(self.members(), 1):
            if self._is_draining:
                return
            if self._alive.get(old.number) is not old:
                continue  # it died meanwhile, and has a successor already
            number = old.number
            self._replacing.add(number)
            try:
                new = await self._begin(number)
            finally:
                self._replacing.discard(number)
            if new is not None or number not in self._alive:  # the old one may have died meanwhile
                self._tasks.start(self._keep(number, new), f"worker:{number}")
            if new is None:
                raise ConfigError("workers", "a new worker does not come up, and the old one serves on; see the log")
            self._leaving.add(old)
            try:
                await old.retire()
                await _ended(old)
            finally:
                self._leaving.discard(old)
            done(count)

    async def drain(self) -> None:
        """Let every worker end what it does, then kill what is left."""
        self._is_draining = True
        workers = [*self.members(), *self._leaving]
        for worker in workers:
            with suppress(ProcessLookupError):
                worker.process.terminate()
        await asyncio.gather(*(_ended(worker) for worker in workers))

    async def take(self, config: Config) -> None:
        """Have every worker take up `config`, or none. Raises `ConfigError` with the first reason.

        A worker that dies meanwhile is started again with what the supervisor then has.
        """
        async with self._turn:
            workers, load = self.members(), pickle.dumps(config)
            reasons = [why for why in await asyncio.gather(*(worker.prepare(load) for worker in workers)) if why]
            await asyncio.gather(*(worker.decide("abort" if reasons else "commit") for worker in workers))
        if reasons:
            raise ConfigError("configuration", reasons[0])

    def hang_up(self) -> None:
        """Tell every worker to take up what changed in files."""
        for worker in self.members():
            with suppress(ProcessLookupError):
                worker.process.send_signal(signal.SIGHUP)

    async def _start(self, number: int) -> Worker | int:
        """A worker that serves, or the exit status of one that does not (below 0: the signal that ended it)."""
        async with self._turn:
            return await self._started(number)

    async def _started(self, number: int) -> Worker | int:
        ours, theirs = socket.socketpair()
        sockets = {name: one.fileno() for name, one in self._sockets.of(number).items()}
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "mantlet.node.processes.worker", str(theirs.fileno())),
                pass_fds=[theirs.fileno(), *sockets.values()],
                start_new_session=True,  # Ctrl-C is for the supervisor, who then tells the workers
            )
        link = await Link.over(ours)
        link.send(pickle.dumps(self._order(number, sockets)))
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
        worker = self._alive[number] = Worker(process, link, number)
        log.info("worker.started", number=number, pid=process.pid)
        return worker

    async def _keep(self, number: int, worker: Worker | None) -> None:
        wait_s = FIRST_WAIT_S
        while True:
            if worker is not None:
                began_s = time.monotonic()
                await worker.link.serve(_nothing)
                code = await worker.process.wait()
                if self._alive.get(number) is not worker:  # another is there already
                    return
                del self._alive[number]
                if self._is_draining or number in self._replacing:
                    return
                self._sockets.drop(number)
                self.restarts += 1
                log.error("worker.ended", number=number, exit_code=code)
                if time.monotonic() - began_s > PROVEN_S:
                    wait_s = FIRST_WAIT_S
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            if self._is_draining:
                return
            started = await self._start(number)
            worker = started if isinstance(started, Worker) else None


async def _ended(worker: Worker) -> None:
    try:
        async with asyncio.timeout(GRACE_S + KILL_S):
            await worker.process.wait()
    except TimeoutError:
        worker.process.kill()
        await worker.process.wait()


async def _nothing(what: str, load: bytes) -> Any:
    return None
