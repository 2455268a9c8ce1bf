"""CPU time and memory of a process and everything below it, from /proc (Linux)."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


def tree(root: int) -> list[int]:
    """`root` and its descendants that are alive."""
    children: dict[int, list[int]] = defaultdict(list)
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:
                continue
            # The name in brackets may hold blanks and brackets itself: read behind the last one.
            children[int(stat.rpartition(")")[2].split()[1])].append(int(entry.name))
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        found.append(pid)
        todo += children[pid]
    return found


def cpu_ns(pid: int) -> int:
    """CPU time of one process so far.

    The scheduler's own count per thread: `stat` has steps of 10 ms, too coarse for a short round.
    A thread that ended is not counted.
    """
    total = 0
    try:
        for task in (PROC / str(pid) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    except OSError:
        return total
    return total


@dataclass(frozen=True, slots=True)
class Meter:
    """The processes that count for one target, found once: who watches /proc all the time disturbs what it watches."""

    pids: tuple[int, ...]

    @classmethod
    def of(cls, *roots: int, without: tuple[int, ...] = ()) -> "Meter":
        """Everything below `roots`, except what is below `without`."""
        spared = {pid for root in without for pid in tree(root)}
        return cls(tuple(pid for root in roots for pid in tree(root) if pid not in spared))

    def read_ns(self) -> int:
        """CPU time so far."""
        return sum(map(cpu_ns, self.pids))

    def pss_kib(self, field: str = "Pss") -> dict[int, int]:
        """Proportional set size of each process; `Pss_Anon` is the part that no file and no other process has."""
        sizes = {}
        for pid in self.pids:
            try:
                rollup = (PROC / str(pid) / "smaps_rollup").read_text()
            except OSError:
                continue
            sizes[pid] = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith(f"{field}:"))
        return sizes


def named(fragment: str, root: int) -> tuple[int, ...]:
    """Processes below `root` whose command line holds `fragment`."""
    found = []
    for pid in tree(root):
        try:
            command = (PROC / str(pid) / "cmdline").read_bytes()
        except OSError:
            continue
        if fragment.encode() in command:
            found.append(pid)
    return tuple(found)
