"""Kill switches as they are opened: where they are kept, and the steps that obey them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mantlet.core.call import Call
from mantlet.core.caller import Caller
from mantlet.core.clock import SYSTEM
from mantlet.core.ports import State
from mantlet.core.refusal import Denied, InvalidCredential
from mantlet.core.tasks import Tasks
from mantlet.events.metrics import Metrics
from mantlet.node.housekeeping import every
from mantlet.node.storage.durable import Durable
from mantlet.policies.kill.policy import KilledCallers, KilledTargets
from mantlet.policies.kill.switches import SYNC_S, Switches
from mantlet.policies.kill.table import KINDS, Kill, Switch, Table
from mantlet.policies.kill.truth import Changes, StateTruth, Version
from mantlet.stores.sql.kills import Key, KillRows, Row


class DatabaseCopy:
    """`policies.kill.switches.Copy` in the node's database."""

    def __init__(self, kills: KillRows) -> None:
        self._kills = kills

    async def read(self) -> dict[Switch, Kill]:
        """All of it."""
        return _table(await self._kills.rows())

    async def replace(self, table: Table, /) -> None:
        """Keep `table` and nothing else."""
        await self._kills.write({switch: _row(kill) for switch, kill in table.items()})


class DatabaseTruth:
    """`policies.kill.truth.Truth` in the database that nodes share."""

    def __init__(self, kills: KillRows) -> None:
        self._kills = kills

    async def version(self) -> Version:
        """The count of changes."""
        return b"%d" % await self._kills.number()

    async def table(self) -> dict[Switch, Kill]:
        """All of it."""
        return _table(await self._kills.rows())

    async def change(self, changes: Changes, /) -> tuple[Version, dict[Switch, Kill]]:
        """Set some and take back others."""
        given: dict[Key, Row | None] = {
            switch: None if kill is None else _row(kill) for switch, kill in changes.items()
        }
        number, rows = await self._kills.change(given)
        return b"%d" % number, _table(rows)


def _table(rows: Mapping[Key, Row]) -> dict[Switch, Kill]:
    return {
        Switch(kind, name): Kill(reason, by, at_s) for (kind, name), (reason, by, at_s) in rows.items() if kind in KINDS
    }


def _row(kill: Kill) -> Row:
    return kill.reason, kill.by, kill.at_s


@dataclass(frozen=True, slots=True)
class Kills:
    """The switches, and the steps that obey them."""

    switches: Switches
    callers: KilledCallers
    targets: KilledTargets

    def refuse(self, call: Call) -> None:
        """Raise `Killed` for a call whose caller or target was stopped while it waited."""
        self.callers.refuse(call.caller, call.trail)
        self.targets.refuse(call)

    def recheck(self, is_current: Callable[[Caller], bool], allows: Callable[[Call], bool]) -> Callable[[Call], None]:
        """What is asked of a call that has waited: raises when it may no longer go on."""

        def check(call: Call) -> None:
            self.refuse(call)
            if not is_current(call.caller):
                raise InvalidCredential("the credential ended while the call waited")
            if not allows(call):
                raise Denied("This is not allowed any more.", why="the rules changed while the call waited")

        return check


async def open_kills(durable: Durable, state: State, metrics: Metrics, tasks: Tasks) -> Kills:
    """The switches, followed from now on. Raises `StoreUnavailable`."""
    rows = KillRows(durable.database)
    if durable.database.is_shared:
        switches = Switches(DatabaseTruth(rows), None, SYSTEM)
    else:
        switches = Switches(StateTruth(state), DatabaseCopy(rows), SYSTEM)
    await switches.open()
    tasks.start(every(SYNC_S, durable.quiet(switches.sync)), "kills.sync")
    metrics.gauge("mantlet_kills", "Kill switches in force", lambda: len(switches.in_force()), "max")
    return Kills(switches, KilledCallers(switches), KilledTargets(switches))
