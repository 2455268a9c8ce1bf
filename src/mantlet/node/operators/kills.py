"""Kill switches, as an operator throws them."""

from collections.abc import Mapping
from typing import Any

from mantlet.core.clock import SYSTEM
from mantlet.core.ports import Journal
from mantlet.core.refusal import InvalidParams
from mantlet.events.audit.administrative import note
from mantlet.node.config.model import Config
from mantlet.policies.kill.switches import Switches
from mantlet.policies.kill.table import KINDS, MAX_NAME_CHARACTERS, Kill, Switch

MAX_REASON_CHARACTERS = 500


class KillsAdmin:
    """What the admin API does. Without the record nothing is done (AUD-02)."""

    def __init__(self, switches: Switches, journal: Journal, config: Config) -> None:
        self._switches, self._journal = switches, journal
        self._upstreams = {server.name for server in config.mcp.servers} | {one.name for one in config.http_upstreams}

    async def all(self) -> list[Mapping[str, Any]]:
        """Those in force, the latest first."""
        await self._switches.sync()
        found = sorted(self._switches.in_force().items(), key=lambda item: -item[1].at_s)
        return [_told(switch, kill) for switch, kill in found]

    async def kill(self, kind: str, name: str, reason: str, by: str) -> Mapping[str, Any]:
        """Stop it. `is_known` in the answer is false where no upstream of that name is configured here."""
        switch = _switch(kind, name)
        if switch == ("caller", by):
            raise InvalidParams("Nobody stops the caller that they are: they could not take it back.")
        if len(reason) > MAX_REASON_CHARACTERS or not reason.isprintable():
            raise InvalidParams(f"A reason is a line of at most {MAX_REASON_CHARACTERS} characters.")
        await note(
            self._journal, SYSTEM, "switch.killed", object=f"{kind} {name}", principal=by, notes={"reason": reason}
        )
        killed = await self._switches.kill(switch, reason, by)
        is_known = switch.kind != "upstream" or name in self._upstreams
        return {**_told(switch, killed), "is_known": is_known}

    async def unkill(self, kind: str, name: str, by: str) -> bool:
        """Let it go on; whether it was stopped."""
        switch = _switch(kind, name)
        await note(self._journal, SYSTEM, "switch.released", object=f"{kind} {name}", principal=by)
        return await self._switches.unkill(switch)


def _switch(kind: str, name: str) -> Switch:
    for known in KINDS:
        if kind == known:
            if not name or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
                raise InvalidParams("Name what is to be stopped.")
            if kind == "caller" and name.count("/") < 2:
                raise InvalidParams("A caller is TENANT/ISSUER/SUBJECT, as the audit names it.")
            return Switch(known, name)
    raise InvalidParams(f"A switch is for one of {', '.join(KINDS)}.")


def _told(switch: Switch, kill: Kill) -> Mapping[str, Any]:
    return {
        "kind": switch.kind,
        "name": switch.name,
        "reason": kill.reason,
        "by": kill.by,
        "since_s": round(kill.at_s, 3),
    }
