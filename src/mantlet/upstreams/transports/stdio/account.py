"""As whom a program runs: another user than the node's, where the operator names one (MCP-08)."""

import os
import pwd
from dataclasses import dataclass
from typing import Final

ROOT: Final = 0


@dataclass(frozen=True, slots=True)
class Account:
    """A user of this machine, with all of its groups."""

    name: str
    uid: int
    gid: int
    groups: tuple[int, ...]
    home: str

    @property
    def spelt(self) -> str:
        """As the launcher takes it."""
        return "USER=" + ":".join(map(str, (self.uid, self.gid, *self.groups)))


def account_of(name: str | None) -> Account | None:
    """The user called `name`; None for None, and where it is the node's own.

    Raises `ValueError` for one that is not there, that is root, or that this node cannot become.
    """
    if name is None:
        return None
    try:
        entry = pwd.getpwnam(name)
    except KeyError:
        raise ValueError(f"user: there is no user {name!r} on this machine") from None
    if entry.pw_uid == os.geteuid():
        return None
    if os.geteuid() != ROOT:
        raise ValueError(f"user: only a node that runs as root can start programs as {name!r}")
    groups = tuple(os.getgrouplist(name, entry.pw_gid))
    return Account(name, entry.pw_uid, entry.pw_gid, groups, entry.pw_dir)
