"""Which name an item of a server gets where all servers are one (spec 3.1, TOOL-02). Pure.

A name once given keeps its server for ever. A newcomer with the same name appears as `server__name`; one that only
looks the same is withheld, as is one that pretends to another server's prefix. Withheld is safe: the item still has
its own name at `/mcp/{server}`.
"""

import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

SEPARATOR: Final = "__"
MAX_NAME: Final = 128
MAX_NAMES: Final = 10_000
"""Names of one kind that one server may ever have: they are kept for ever, and a server could invent new ones."""

_EXPOSABLE: Final = re.compile(r"[A-Za-z0-9_./-]{1,128}")
# The pairs that people misread in the ASCII that may be exposed at all; other scripts never get this far.
_CONFUSABLE: Final = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "-": "_", ".": "_", "/": "_"})


@dataclass(frozen=True, slots=True)
class Owned:
    """Whom an exposed name leads to."""

    server: str
    name: str


@dataclass(frozen=True, slots=True)
class Withheld:
    """An item that gets no name here, and why."""

    server: str
    name: str
    why: str


def assign(
    known: Mapping[str, Owned], server: str, names: Iterable[str], servers: Collection[str]
) -> tuple[dict[str, Owned], list[Withheld]]:
    """Names for the items of `server`: exposed name to owner, and what is withheld.

    `known` is what has been given before, to any server; it is not changed. The same question always gets the same
    answer, and an answer never takes a name from its owner.
    """
    given: dict[str, Owned] = {}
    withheld: list[Withheld] = []
    skeletons = {skeleton(exposed): exposed for exposed in known}
    room = MAX_NAMES - sum(1 for owner in known.values() if owner.server == server)
    for name in names:
        mine = Owned(server, name)
        exposed, why = _exposed(known, given, skeletons, mine, servers)
        if exposed and exposed not in known and exposed not in given:
            room -= 1
            if room < 0:
                exposed, why = "", f"its server has {MAX_NAMES} names already"
        if exposed:
            given[exposed] = mine
            skeletons.setdefault(skeleton(exposed), exposed)
        else:
            withheld.append(Withheld(server, name, why))
    return given, withheld


@lru_cache(65_536)  # every list compares with every known name
def skeleton(name: str) -> str:
    """What a hurried reader sees: two names with one skeleton are look-alikes."""
    return unicodedata.normalize("NFKC", name).casefold().translate(_CONFUSABLE).replace("rn", "m").replace("vv", "w")


def _exposed(
    known: Mapping[str, Owned],
    given: Mapping[str, Owned],
    skeletons: Mapping[str, str],
    mine: Owned,
    servers: Collection[str],
) -> tuple[str, str]:
    if not _EXPOSABLE.fullmatch(mine.name):
        return "", "its name has characters that are not exposed"
    prefix = mine.name.partition(SEPARATOR)[0]
    if SEPARATOR in mine.name and prefix in servers and prefix != mine.server:
        return "", f"its name pretends to the prefix of {prefix}"
    for exposed in (mine.name, mine.server + SEPARATOR + mine.name):
        owner = known.get(exposed) or given.get(exposed)
        if owner == mine:
            return exposed, ""
        if owner is not None:
            continue
        other = skeletons.get(skeleton(exposed))
        if other is not None and other != exposed:
            return "", f"its name looks like {other}"
        if len(exposed) <= MAX_NAME:
            return exposed, ""
    return "", "its names are taken"
