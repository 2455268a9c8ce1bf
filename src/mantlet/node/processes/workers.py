"""The workers of a node: started together, started again when they die, exchanged, drained at the end."""

import asyncio
import pickle
import signal
import time
from collections.abc import Callable
from typing import Any, Final

from mantlet.core.config_error import ConfigError
from mantlet.core.tasks import Tasks
from mantlet.events.structured import structlog
from mantlet.node.config.model import Config
from mantlet.node.processes.child import MakeOrder, Worker, start
from mantlet.node.processes.sockets import Sockets

FIRST_STARTS: Final = 5
"""How often a worker that is killed while it starts is started, when the node does."""
FIRST_WAIT_S: Final = 0.1
LONGEST_WAIT_S: Final = 10.0
"""Between two starts of a worker that keeps dying (RES-06); a minute of life earns a fresh beginning."""
PROVEN_S: Final = 60.0

log: Final = structlog.get_logger("mantlet")


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
        async with self._turn:
            started = await asyncio.gather(*(self._begin(number) for number in range(self._count)))
        for worker in started:
            if worker is not None:
                self._tasks.start(self._keep(worker.number, worker), f"worker:{worker.number}")
        return None not in started

    async def _begin(self, number: int) -> Worker | None:
        """The first start, in our turn. One that is killed meanwhile has shown nothing about the next."""
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
                async with self._turn:
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
                await old.ended()
            finally:
                self._leaving.discard(old)
            done(count)

    async def drain(self) -> None:
        """Let every worker end what it does, then kill what is left."""
        self._is_draining = True
        workers = [*self.members(), *self._leaving]
        for worker in workers:
            worker.signal(signal.SIGTERM)
        await asyncio.gather(*(worker.ended() for worker in workers))

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
            worker.signal(signal.SIGHUP)

    async def _start(self, number: int) -> Worker | int:
        """A worker that serves, or the exit status of one that does not. Only in our turn."""
        worker = await start(number, self._order, self._sockets.of(number))
        if isinstance(worker, Worker):
            self._alive[number] = worker
            log.info("worker.started", number=number, pid=worker.process.pid)
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
            async with self._turn:
                started = await self._start(number)
            worker = started if isinstance(started, Worker) else None


async def _nothing(what: str, load: bytes) -> Any:
    return None
