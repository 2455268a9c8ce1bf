"""The decisions about definitions, as they stand: read from the lock file and the database, and written there.

Mode `approve` believes the lock file and nothing else, so that what is approved is reviewed and deployed like code.
Mode `first_use` believes the database. What is in quarantine stands in the database in both, for all workers and the
operator. Every method runs to its end without waiting for anybody else's turn.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from mantlet.core.config_error import ConfigError
from mantlet.core.definition import Definition, DefinitionKey, Held, Pin
from mantlet.core.refusal import InvalidParams, NotFound, StoreUnavailable
from mantlet.policies.pins.config import Mode
from mantlet.policies.pins.known import Known
from mantlet.policies.pins.lock import LockFile
from mantlet.policies.pins.store import PinStore
from mantlet.policies.pins.table import Table, Verdict, first_use, judge

MAX_HELD: Final = 1_000
"""Definitions of one server in quarantine. What is beyond is held back too, and not kept for anybody to approve."""
MAX_TOLD_NAMES: Final = 20

Tell = Callable[[str, str, Mapping[str, str]], None]
"""Takes an event, what it is about, and more; for the record and the log. Must not raise."""


class Change(NamedTuple):
    """A decision by a person: the hash that was pinned before, empty if none was, and the one decided about."""

    key: DefinitionKey
    before: str
    after: str


class Book:
    """Of one process. `sync` takes what others decided."""

    def __init__(
        self,
        mode: Mode,
        store: PinStore,
        lock: LockFile | None,
        servers: Sequence[str],
        *,
        wall: Callable[[], float],
        tell: Tell,
    ) -> None:
        self.mode = mode
        self.table = Table()
        self.version = 0
        """Another after every decision that was not this process's own finding."""
        self._store, self._lock = store, lock
        self._servers = tuple(servers)
        self._wall, self._tell = wall, tell
        self._known = Known(self._servers)
        self._held_of: Counter[str] = Counter()
        self._broken = ""
        if mode != "off":
            self.load()

    def load(self) -> None:
        """Read everything. Raises `ConfigError`, `StoreUnavailable`."""
        pins, held = self._store.load()
        if self._lock is not None:
            pins = self._lock.read()
            # Approved by a new lock file, which is how a repository says it.
            approved = [key for key, one in held.items() if key in pins and pins[key].definition == one.definition]
            for key in approved:
                del held[key]
                self._store.release(key)
        self._take(Table(pins, held))

    def sync(self) -> None:
        """Read what changed; raises `StoreUnavailable`. A lock file that cannot be believed is told of, once, and what
        was read before stands."""
        if self.mode == "off" or (not self._store.is_changed() and (self._lock is None or not self._lock.is_changed())):
            return
        former = self.table
        try:
            self.load()
        except ConfigError as error:
            if str(error) != self._broken:
                self._broken = str(error)
                self._tell("pin.lock_refused", "" if self._lock is None else str(self._lock.path), {"why": str(error)})
            return
        self._broken = ""
        if former != self.table:
            self.version += 1

    def judge(self, seen: Sequence[Definition], revision: str) -> list[Verdict]:
        """What follows for each of one server's list; what is pinned or held by it is written down and told."""
        if self.mode == "off":
            return [Verdict("show", one) for one in seen]
        listed = {one.key.name for one in seen}
        verdicts = [self._judge(one, revision, listed) for one in seen]
        first = [verdict.definition for verdict in verdicts if verdict.action == "pin"]
        if not first:
            return verdicts
        at_s, by = self._wall(), first_use(revision)
        told_more = {one.key for one in first if one.key in self.table.pins}
        self._store.pin([Pin(one, at_s, by) for one in first if one.key not in told_more], is_decided=False)
        self._store.pin([Pin(one, at_s, by) for one in first if one.key in told_more], is_decided=True)
        names = ", ".join(one.key.name[:64] for one in first[:MAX_TOLD_NAMES])
        expected = self.table.with_pins(*(Pin(one, at_s, by) for one in first))
        self._tell("pin.first_use", first[0].key.server, {"count": str(len(first)), "names": names})
        self.load()  # another worker may have been faster: what counts is what stands
        if self.table != expected:
            self.version += 1
        return [
            self._judge(verdict.definition, revision, listed) if verdict.action == "pin" else verdict
            for verdict in verdicts
        ]

    def approve(self, key: DefinitionKey, digest: str, by: str) -> Change:
        """Pin what is in quarantine. Raises `NotFound`, `InvalidParams`, `StoreUnavailable`."""
        held = self.find(key, digest)
        pin = Pin(held.definition, self._wall(), by)
        change = self._change(held)
        if self._lock is None:
            self._store.pin([pin], is_decided=True)
        else:
            try:
                self._lock.write([*{**self._lock.read(), key: pin}.values()])
            except (OSError, ConfigError) as error:
                detail = (
                    "The lock file cannot be written here. Write it with `mantlet pins check --write`, and deploy it."
                )
                raise StoreUnavailable(detail, why=f"{self._lock.path}: {error}") from error
            self._store.release(key)
        self.load()
        self.version += 1
        return change

    def reject(self, key: DefinitionKey, digest: str) -> Change:
        """Say no to what is in quarantine. What was pinned before may be used again if the server goes back to it."""
        held = self.find(key, digest)
        self._store.hold(Held(held.definition, held.why, held.at_s, is_rejected=True))
        change = self._change(held)
        self.load()
        self.version += 1
        return change

    def _change(self, held: Held) -> Change:
        pin = self.table.pins.get(held.definition.key)
        return Change(held.definition.key, "" if pin is None else pin.definition.hash, held.definition.hash)

    def find(self, key: DefinitionKey, digest: str) -> Held:
        """What is in quarantine under this hash. Raises `NotFound`, `InvalidParams`."""
        held = self.table.held.get(key)
        if held is None:
            raise NotFound("Nothing of this name is in quarantine.")
        if held.definition.hash != digest:
            raise InvalidParams("What is in quarantine is not what the hash names: look at the difference again.")
        return held

    def _judge(self, seen: Definition, revision: str, listed: set[str]) -> Verdict:
        verdict = judge(seen, self.table, self.mode, self._known, revision=revision, listed=listed)
        if verdict.action == "pin":
            self._known.add(seen)  # the next of the same list may look like it
        elif verdict.is_news:
            self._hold(verdict)
        return verdict

    def _hold(self, verdict: Verdict) -> None:
        key = verdict.definition.key
        if key not in self.table.held:
            if self._held_of[key.server] >= MAX_HELD:
                return
            self._held_of[key.server] += 1
        pin = self.table.pins.get(key)
        held = Held(verdict.definition, verdict.why, self._wall())
        self.table = self.table.with_held(held)  # here at once, whatever becomes of the database
        self._tell(
            "pin.quarantined",
            f"{key.server}/{key.name[:128]}",
            {
                "kind": key.kind,
                "why": verdict.why,
                "before": "" if pin is None else pin.definition.hash,
                "after": verdict.definition.hash,
            },
        )
        self._store.hold(held)

    def _take(self, table: Table) -> None:
        self.table = table
        self._known = Known(self._servers, (pin.definition for pin in table.pins.values()))
        self._held_of = Counter(key.server for key in table.held)
