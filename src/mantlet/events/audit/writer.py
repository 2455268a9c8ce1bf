"""The journal of one process: records of one turn of the event loop are written as one group.

With durability `write` the group is written from the loop itself: a small write into the page cache costs 5 to 10 us,
handing it to a thread 30 and a context switch. With `fsync` a thread of its own writes and syncs a group while the next
one gathers, so that a slow disk costs latency and no CPU. The thread also takes over whenever the lock of the trail is
held by another process, and for checkpoints and repair: whatever may wait.

A record's future is done when its group is written; after any failure every record of the group fails, and until a
write succeeds again `is_able` is false and nothing new is taken. Repair is tried every `retry_interval` seconds.
"""

import asyncio
import queue
import threading
from asyncio import Future
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mantlet.core.clock import Clock
from mantlet.core.record import Record
from mantlet.core.refusal import AuditUnavailable
from mantlet.events.audit.administrative import record_of
from mantlet.events.audit.chain import ChainKey
from mantlet.events.audit.checkpoints import Checkpoints
from mantlet.events.audit.files import Files
from mantlet.events.audit.keys import AuditKeys, checkpoint_directory
from mantlet.events.audit.line import Stamps, encode
from mantlet.events.audit.trail_files import TrailFiles
from mantlet.events.config import AuditConfig, Environment

FIRST_CHECKPOINT_S: Final = 1.0
"""How soon the first records of a new trail are signed: until something is, nobody can verify it."""

CLOSE_GRACE_S: Final = 5.0
"""How long closing waits for a disk that gives no answer (RES-05)."""

LOOK_S: Final = 1.0
"""How often it is made sure that the files are still where they belong; with `fsync` before every group. Looking takes
4 us, and a trail that was moved or deleted loses what is acknowledged until somebody looks."""

GATHER_S: Final = 0.001
"""How long a group that must be synced may grow while turns of the loop bring more records. A sync costs 100 us of CPU
however much it carries, so callers that come together share one; who comes alone waits for nobody."""

BARREN_TURNS: Final = 3
"""A group grows no longer after so many turns without a record: some 10 us when nobody is about, more when the loop has
calls in hand that will end soon."""

HOLD_S: Final = 0.25
"""How long the only writer keeps the trail locked before it gives others a chance: a group costs 10 us then instead of
45, and whoever adds a record from beside (`mantlet keys rotate`) waits no longer than this."""

Report = Callable[[str, str], None]
"""Told of trouble: event name, what the system said. Must not raise."""


@dataclass(slots=True)
class Figures:
    """What the journal did, for metrics. Seconds."""

    records: int = 0
    groups: int = 0
    failed_records: int = 0
    failures: int = 0
    write_s: float = 0.0
    last_lag_s: float = 0.0
    """From the first record of the last group to its end."""


class Journal:
    """`core.ports.Journal`. Made by `open_journal`; belongs to one event loop."""

    def __init__(
        self,
        trail: TrailFiles,
        clock: Clock,
        *,
        syncs: bool,
        config: AuditConfig,
        report: Report,
        is_alone: bool = False,
    ) -> None:
        self._trail = trail
        self._clock = clock
        self._syncs = syncs
        self._config = config
        self._report = report
        self._is_alone = is_alone
        self._holding: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._stamps = Stamps()
        self._bodies: list[bytes] = []
        self._waiting: list[Future[None]] = []
        self._since_s = 0.0
        self._looked_s = 0.0
        self._is_shared = False  # the last group carried several records: callers come together
        self._grown_to = 0
        self._barren_turns = 0
        self._is_scheduled = False
        self._is_busy = False  # the thread has the trail; the loop must not touch it
        self._is_failing = False
        self._is_closed = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._timer: asyncio.TimerHandle | None = None
        self._work: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()
        self.figures = Figures()

    @property
    def is_able(self) -> bool:
        """False after a failure until repaired, when closed, and while `max_pending` records wait."""
        return not (self._is_failing or self._is_closed) and len(self._bodies) < self._config.max_pending

    @property
    def pending(self) -> int:
        """Records that wait for the next group."""
        return len(self._bodies)

    @property
    def checkpoint_failures(self) -> int:
        """How often a checkpoint could not be written."""
        return self._trail.checkpoint_failures

    def append(self, record: Record, /) -> Future[None]:
        """See the port. Order of calls is order of records."""
        if self._is_failing or self._is_closed or len(self._bodies) >= self._config.max_pending:
            raise AuditUnavailable(why="the audit trail cannot be written")
        self._bodies.append(encode(record, self._stamps.stamp(self._clock.wall())))
        done = self._loop.create_future()
        self._waiting.append(done)
        if not self._is_scheduled and not self._is_busy:
            self._is_scheduled = True
            self._since_s = self._clock.monotonic()
            self._loop.call_soon(self._flush)
        return done

    # --- on the loop ---------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._is_scheduled = False
        if self._is_busy or not self._bodies:
            return
        if self._syncs and self._is_shared and self._is_growing():
            self._is_scheduled = True
            self._loop.call_soon(self._flush)
            return
        bodies, waiting, since_s = self._bodies, self._waiting, self._since_s
        self._bodies, self._waiting = [], []
        self._is_shared = len(bodies) > 1
        look = self._syncs or since_s - self._looked_s >= LOOK_S
        if look:
            self._looked_s = since_s
        holds = self._is_alone
        if holds and self._holding is None:
            self._holding = self._loop.call_later(HOLD_S, self._release)
        if not self._syncs:
            try:
                self._trail.append(bodies, wait=False, look=look, holds=holds)
            except BlockingIOError:
                pass  # another process is writing: wait for it in the thread
            except Exception as error:  # the root of this callback: whatever it was, nobody may wait for ever
                self._finish(waiting, since_s, error)
                return
            else:
                self._finish(waiting, since_s, None)
                return
        self._hand_over(
            lambda: self._trail.append(bodies, look=look, holds=holds),
            lambda error: self._finish(waiting, since_s, error),
        )

    def _is_growing(self) -> bool:
        count = len(self._bodies)
        self._barren_turns = 0 if count > self._grown_to else self._barren_turns + 1
        self._grown_to = count
        late = self._clock.monotonic() - self._since_s >= GATHER_S
        if late or self._is_closed or self._barren_turns >= BARREN_TURNS:
            self._grown_to = self._barren_turns = 0
            return False
        return True

    def _release(self) -> None:
        if self._is_busy:
            self._holding = self._loop.call_later(0.001, self._release)
            return
        self._holding = None
        try:
            self._trail.release()
        except OSError as error:
            self._trouble(error)

    def _finish(self, waiting: list[Future[None]], since_s: float, error: BaseException | None) -> None:
        figures = self.figures
        figures.last_lag_s = self._clock.monotonic() - since_s
        figures.write_s += figures.last_lag_s
        figures.groups += 1
        if error is None:
            figures.records += len(waiting)
            for done in waiting:
                if not done.done():
                    done.set_result(None)
            return
        self._fail(waiting)
        self._trouble(error)

    def _fail(self, waiting: list[Future[None]]) -> None:
        self.figures.failed_records += len(waiting)
        for done in waiting:
            if not done.done():
                done.set_exception(AuditUnavailable(why="the audit trail could not be written"))
                done.exception()  # seen: a cancelled call has nobody who would look

    def _trouble(self, error: BaseException) -> None:
        self.figures.failures += 1
        was_failing, self._is_failing = self._is_failing, True
        waiting, self._bodies, self._waiting = self._waiting, [], []
        self._fail(waiting)
        if not was_failing:
            self._report("audit.failed", f"{type(error).__name__}: {error}")
            self._schedule(self._config.retry_interval, self._repair)

    def _repair(self) -> None:
        notes = {"failed_records": str(self.figures.failed_records), "failures": str(self.figures.failures)}
        body = self._describe("audit.repaired", notes)
        self._hand_over(lambda: self._trail.append([body], look=True), self._repaired)

    def _repaired(self, error: BaseException | None) -> None:
        if error is not None:
            self.figures.failures += 1
            self._schedule(self._config.retry_interval, self._repair)
            return
        self._is_failing = False
        lost = self.figures.failed_records
        self._report("audit.repaired", f"is written to again; {lost} records failed since the start")
        self._tick_later()

    def _tick_later(self) -> None:
        interval_s = self._config.checkpoint_interval
        if not self._trail.checkpointed_seq:
            interval_s = min(FIRST_CHECKPOINT_S, interval_s)
        self._schedule(interval_s, self._tick)

    def _tick(self) -> None:
        self._hand_over(lambda: self._trail.checkpoint("interval"), self._ticked)

    def _ticked(self, error: BaseException | None) -> None:
        if error is None:
            self._tick_later()
        else:
            self._trouble(error)

    def _schedule(self, delay_s: float, act: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._is_closed:
            self._timer = self._loop.call_later(delay_s, self._when_idle, act)

    def _when_idle(self, act: Callable[[], None]) -> None:
        if self._is_busy:
            self._timer = self._loop.call_later(0.01, self._when_idle, act)
        elif not self._is_closed:
            act()

    def _describe(self, event: str, notes: dict[str, str]) -> bytes:
        # Called on the loop and on the thread, so with stamps of its own.
        at_s = self._clock.wall()
        return encode(record_of(event, at_s=at_s, notes=notes), Stamps().stamp(at_s))

    # --- the thread ----------------------------------------------------------------------------------------------

    def _hand_over(self, work: Callable[[], None], then: Callable[[BaseException | None], None]) -> None:
        self._is_busy = True
        self._idle.clear()

        def run() -> None:
            error: BaseException | None = None
            try:
                work()
            except BaseException as caught:  # the root of this thread: told on, not lost
                error = caught
            self._loop.call_soon_threadsafe(self._back, then, error)

        self._work.put(run)

    def _back(self, then: Callable[[BaseException | None], None], error: BaseException | None) -> None:
        self._is_busy = False
        self._idle.set()
        then(error)
        if self._bodies and not self._is_busy:
            self._since_s = self._clock.monotonic()
            self._flush()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            work()

    # --- opening and closing -------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Find the head of the chain, repair a torn tail, sign. Raises `AuditUnavailable` when that fails."""
        await self._in_thread(lambda: self._trail.append([]))
        await self._in_thread(lambda: self._trail.checkpoint("start"))
        self._tick_later()

    async def close(self) -> None:
        """Write what waits, sign the end of the chain, stop the thread. Never raises for the disk: it reports."""
        self._is_closed = True  # nothing new is taken; what waits is still written
        for timer in (self._timer, self._holding):
            if timer is not None:
                timer.cancel()
        try:
            async with asyncio.timeout(CLOSE_GRACE_S):
                while self._bodies or self._is_busy:
                    self._flush()
                    await self._idle.wait()
                await self._in_thread(lambda: self._trail.checkpoint("stop"))
        except (AuditUnavailable, TimeoutError) as error:
            self._report("audit.failed", getattr(error, "why", "the disk gave no answer while closing"))
        finally:
            self._work.put(None)
            if self._is_busy:  # a disk that hangs holds the thread, a daemon, and its files: both go with the process
                waiting, self._bodies, self._waiting = self._waiting, [], []
                self._fail(waiting)
            else:
                self._thread.join()
                self._trail.close()

    async def _in_thread(self, work: Callable[[], None]) -> None:
        done: Future[None] = self._loop.create_future()

        def then(error: BaseException | None) -> None:
            if done.done():
                return
            if error is None:
                done.set_result(None)
            else:
                refusal = AuditUnavailable(why=f"{type(error).__name__}: {error}")
                refusal.__cause__ = error
                done.set_exception(refusal)

        self._hand_over(work, then)
        await done


@asynccontextmanager
async def open_journal(
    config: AuditConfig,
    keys: AuditKeys,
    *,
    clock: Clock,
    environment: Environment = "production",
    report: Report = lambda event, why: None,
    export_checkpoint: Callable[[bytes], None] | None = None,
    files: Files | None = None,
    is_alone: bool = False,
) -> AsyncIterator[Journal]:
    """The journal of this process. Every worker of a node opens its own, after the fork; together they write one chain.

    `is_alone`: no other process is expected to write, so the trail is kept locked for moments at a time.

    Raises `AuditUnavailable` when the trail cannot be opened. `export_checkpoint` is called in the journal's thread.
    """
    syncs = config.durability_in(environment) == "fsync"
    files = files or Files()

    def describe(event: str, notes: dict[str, str]) -> bytes:
        at_s = clock.wall()
        return encode(record_of(event, at_s=at_s, notes=notes), Stamps().stamp(at_s))

    trail = TrailFiles(
        Path(config.path),
        ChainKey(keys.chain),
        Checkpoints(checkpoint_directory(config), keys.signing, files, syncs=syncs, export=export_checkpoint),
        describe,
        lambda: Stamps().stamp(clock.wall()),
        syncs=syncs,
        checkpoint_every=config.checkpoint_every,
        max_file_bytes=config.max_file_bytes,
        files=files,
    )
    journal = Journal(trail, clock, syncs=syncs, config=config, report=report, is_alone=is_alone)
    try:
        await journal.open()
        yield journal
    finally:
        await journal.close()
