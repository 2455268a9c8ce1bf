"""A changed configuration, taken up while calls go on: on SIGHUP, when a file changes, when an administrator asks.

All or nothing: a file that is not understood, that its environment refuses (CFG-03) or that changes what only a restart
can is refused whole; the old one stays, and the log and the audit trail say why.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import AuditUnavailable
from mantlet.core.tasks import Tasks
from mantlet.events.audit.administrative import note
from mantlet.events.log import set_up
from mantlet.events.metrics import Metrics
from mantlet.node.check.examine import Report, examine
from mantlet.node.config.changes import changed, is_moved_under_answers, needs_restart, needs_workers
from mantlet.node.config.model import Config
from mantlet.node.housekeeping import every, log
from mantlet.node.running.signals import on_hangup

LOOK_S: Final = 2.0
"""How often files are looked at. A change is taken up once they have stayed the same for as long."""
MAX_REASONS: Final = 20

Stamp = tuple[tuple[str, int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Source:
    """Where the configuration was read from, to be read again the same way."""

    files: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def read(self) -> Report:
        """The report on what stands there now."""
        return examine(self.files, self.environ, settings=self.settings)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the configuration of a node came from, and what was said of it."""

    source: Source
    report: Report
    taken: Stamp
    """Of the files as they were when they were read."""

    @classmethod
    def read(cls, source: Source) -> "Origin":
        """What stands there now. What changes from here on is a change, also while the node starts."""
        files = _stamps(source.files)
        report = source.read()
        return cls(source, report, (*files, *_stamps(report.loaded.named if report.loaded else ())))

    @property
    def accepted(self) -> list[str]:
        """The risks that are taken by name."""
        return [f"{reason.risk}: {reason.key}" for reason in self.report.judgement.accepted]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a reload. `keys` are those that changed; `reasons` why it was refused."""

    result: str
    """`reloaded`, `unchanged` or `refused`."""
    keys: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {"result": self.result, "changed": list(self.keys), "reasons": list(self.reasons)}


class Reload:
    """Reads, judges, compares and applies; one at a time.

    `apply` takes the new configuration up in every process, or raises and leaves all as it was. `exchange` begins to
    put new workers in the place of those that are, for what only they take up; None where there are none.
    """

    def __init__(
        self,
        origin: Origin,
        journal: Journal,
        apply: Callable[[Config], Awaitable[None]],
        exchange: Callable[[str], Awaitable[object]] | None = None,
    ) -> None:
        loaded = origin.report.loaded
        if loaded is None:
            raise ValueError("a node runs by a configuration that was understood")
        self._source, self._journal, self._apply, self._exchange = origin.source, journal, apply, exchange
        self._config, self._named = loaded.config, loaded.named
        self._taken = origin.taken
        """Of the files as they were when they were last taken up: a key may be another under the same name."""
        self._lock = asyncio.Lock()
        self.counts = {"reloaded": 0, "unchanged": 0, "refused": 0}

    async def __call__(self, by: str) -> Outcome:
        """Take up what stands in the files now. Never raises for what is wrong with it."""
        async with self._lock:
            outcome = await self._reload(by)
        self.counts[outcome.result] += 1
        return outcome

    def follow(self, tasks: Tasks, metrics: Metrics, besides: Callable[[], None]) -> None:
        """Take up changes from now on, of files and on SIGHUP; `besides` is what a SIGHUP does at once."""

        def hang_up() -> None:
            besides()
            tasks.start(self._hung_up(), "config.reload")

        on_hangup(hang_up)
        tasks.start(self.watch(), "config.watch")
        if (vault := self._config.secrets.vault) is not None:
            # What stands there may change without a file of ours changing; and a token's lease is renewed by it.
            tasks.start(every(vault.refresh, partial(self, "the vault")), "config.vault")
        counts = self.counts
        metrics.gauge("mantlet_config_reloads", "Configurations taken up", lambda: counts["reloaded"])
        metrics.gauge("mantlet_config_refused", "Changed configurations that were refused", lambda: counts["refused"])

    async def _hung_up(self) -> None:
        await self("SIGHUP")

    async def watch(self) -> None:
        """Reload when a file of the configuration, or one that it names, has changed and come to rest."""
        known = seen = self._taken  # not as they stand now: they may have changed while the node started
        while True:
            await asyncio.sleep(LOOK_S)
            now = self._stamp()
            if now != known and now == seen:
                await self("a changed file")
                now = self._stamp()
                known = now
            seen = now

    async def _reload(self, by: str) -> Outcome:
        report = await asyncio.to_thread(self._source.read)
        if report.loaded is None or report.exit_code:
            return await self._refuse(by, [*map(str, report.problems), *map(str, report.judgement.refused)])
        new = report.loaded.config
        keys = changed(self._config, new)
        stamp = self._stamp()
        if not keys and stamp == self._taken:
            return Outcome("unchanged")
        if fixed := needs_restart(keys, new, has_workers=self._exchange is not None):
            return await self._refuse(by, [_why_not(key, new) for key in fixed])
        accepted = {f"{risk.risk}: {risk.key}" for risk in report.judgement.accepted}
        try:
            # Recorded before it acts: a configuration that nobody can trace back must not be in force (AUD-02).
            await note(self._journal, SYSTEM, "config.reloaded", principal=by, notes={"changed": " ".join(keys)[:2000]})
            for risk in sorted(accepted) if "accept_risks" in keys else ():
                await note(self._journal, SYSTEM, "risk.accepted", principal=by, object=risk)
            await self._apply(new)
        except Exception as error:  # a task root: whatever opening the new one raises, the old one serves on
            return await self._refuse(by, [str(error)])
        self._config, self._named, self._taken = new, report.loaded.named, stamp
        set_up(new.logging, new.environment)
        if self._exchange is not None and needs_workers(keys, new):
            try:
                await self._exchange(by)
            except AuditUnavailable as refusal:  # in force it is, and `mantlet restart` does the rest
                log.error("workers.replaced", why=refusal.why)
        log.info("config.reloaded", by=by, changed=keys)
        return Outcome("reloaded", tuple(keys))

    async def _refuse(self, by: str, reasons: Sequence[str]) -> Outcome:
        told = tuple(reasons[:MAX_REASONS])
        log.error("config.refused", by=by, reasons=told)
        await note(self._journal, SYSTEM, "config.refused", principal=by, notes={"why": "; ".join(told)[:2000]})
        return Outcome("refused", (), told)

    def _stamp(self) -> Stamp:
        return _stamps((*self._source.files, *self._named))


def _why_not(key: str, new: Config) -> str:
    is_for_workers = needs_workers([key], new)
    more = "; where there are workers (http.workers), a reload exchanges them for it" if is_for_workers else ""
    if is_moved_under_answers(key, new):
        more = ", because cache or fallback keeps answers of the old place under the server's name"
    return f"{key}: changed, and takes a restart{more}"


def _stamps(files: Iterable[str]) -> Stamp:
    return tuple(map(_stamped, files))


def _stamped(file: str) -> tuple[str, int, int, int]:
    try:
        found = os.stat(file)  # noqa: PTH116 - called for every file every two seconds
    except OSError:
        return file, 0, 0, 0
    return file, found.st_mtime_ns, found.st_size, found.st_ino
