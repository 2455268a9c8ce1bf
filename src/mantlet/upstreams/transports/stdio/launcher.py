"""Run one command so that nothing of it outlives the node. Run as a script, with the standard library alone.

    python -I -S launcher.py LIFELINE_FD GUARD PROGRAM [ARG…]

Between the node and each child stands this small process, because no single means of the system is enough: a parent
death signal reaches the child but not what the child starts (npx starts node), and a process group loses those who
leave it. The launcher is a *subreaper*: whoever loses its parent below it becomes its own child, so it can find and
kill them all. It holds one end of the lifeline socket; when the other end closes, for whatever reason (`kill -9` of
the node too), it kills everything below it and ends. It also does so when the command itself ends.

GUARD is `1` or `0`, whether the command and all below it is guarded (see `guard_self`). After it may follow limits for
each of its processes, by the names of getrlimit(2); as whom it runs (uid, gid and all groups); its umask; and the only
paths that it may read and write, in hexadecimal: `1,NOFILE=4096,USER=1000:1000:1000,UMASK=077,READ=2f737276`. What
cannot be set is no start; of what guards every program, that is set which this kernel has.

The command gets a session of its own, the inherited stdin, stdout and stderr, no other descriptor, and SIGKILL should
the launcher die. SIGTERM to the launcher is passed on to the command's process group. The launcher tells the
command's pid over the lifeline, and ends as the command ended (128 + signal for a signal, 127: could not be started).
Where there is no prctl (not Linux) the process group is what can be had.
"""

import contextlib
import os
import resource
import select
import signal
import sys
from types import ModuleType

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
NOT_STARTED = 127
DIES_FIRST = 500
"""Of 1,000, in oom_score_adj: as much more as half of the machine's memory would make it."""


def prctl(option: int, value: int) -> None:
    """Linux only; elsewhere, or where it is refused, there is nothing to fall back to."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def main(argv: list[str]) -> int:
    """Start the command and stay until it ends or the lifeline does."""
    lifeline, guard, command = int(argv[0]), argv[1], argv[2:]
    os.set_inheritable(lifeline, False)
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    asked: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda got, _frame: asked.append(got))
    signal.signal(signal.SIGCHLD, lambda _got, _frame: None)

    launcher = os.getpid()
    confinement = neighbour() if guard[0] == "1" else None
    child = os.fork()
    if child == 0:
        start(command, launcher, guard, confinement)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):  # the pipes must close when the command closes them
        os.dup2(nowhere, descriptor)
    with contextlib.suppress(OSError):
        os.write(lifeline, b"%d\n" % child)
    status = wait(child, lifeline, wake_read, asked)
    kill_all(child)
    return status


def limit(name: str, value: int) -> None:
    """Set a limit for this process and those it starts; never more than there is already."""
    number = getattr(resource, f"RLIMIT_{name}")
    _, hard = resource.getrlimit(number)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(number, (value, value))


def become(uid: int, gid: int, *groups: int) -> None:
    """Be another user, with no way back."""
    os.setgroups(groups)
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


def guard_self(confinement: ModuleType, read: list[bytes], write: list[bytes], is_bound: bool) -> None:
    """The command and all below it gain no privileges, leave no core files, die before the node does when memory ends,
    and can neither look into others' processes nor use calls that no tool server needs (see `confinement.py`).

    With `is_bound` it is kept to its paths, or not started.
    """
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform != "linux":
        if is_bound:
            raise OSError("only Linux can keep it to its paths")
        return
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "r+") as score:  # noqa: PTH123
        if int(score.read()) < DIES_FIRST:
            score.write(str(DIES_FIRST))
    if not confinement.keep_apart(read, write, is_bound) and is_bound:
        raise OSError("this kernel cannot keep it to its paths (Landlock)")
    confinement.refuse_calls()


def neighbour() -> ModuleType:
    """`confinement.py`, which lies beside this file. Loaded before the fork: another user may not be let in here."""
    sys.path.append(os.path.dirname(__file__))  # noqa: PTH120 - last, so that nothing here stands for a library
    import confinement  # type: ignore[import-not-found]

    loaded: ModuleType = confinement
    return loaded


def start(command: list[str], launcher: int, guard: str, confinement: ModuleType | None) -> None:
    """In the forked child: become the command."""
    try:
        os.setsid()
        _, *limits = guard.split(",")
        paths: dict[str, list[bytes]] = {"READ": [], "WRITE": []}
        for each in limits:
            name, _, value = each.partition("=")
            if name == "USER":
                become(*map(int, value.split(":")))
            elif name == "UMASK":
                os.umask(int(value, 8))
            elif name in paths:
                paths[name].append(bytes.fromhex(value))
            else:
                limit(name, int(value))
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)  # after another user, which would take it away
        if os.getppid() != launcher:  # it died before the line above
            os._exit(NOT_STARTED)
        if confinement is not None:
            guard_self(confinement, paths["READ"], paths["WRITE"], bool(paths["READ"]))
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)  # CPython ignores the last two, and ignoring is inherited
        os.execv(command[0], command)  # noqa: S606 - no shell is the point
    except (OSError, ValueError, AttributeError) as error:
        os.write(2, f"cannot start {command[0]}: {told(error)}{bounds(guard)}\n".encode())
    finally:
        os._exit(NOT_STARTED)


def told(error: Exception) -> str:
    """In words: the path of an `OSError` is bytes here."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return f"{error.strerror}: {os.fsdecode(error.filename)}" if error.filename else error.strerror


def bounds(guard: str) -> str:
    """What of the configuration may be why, for who reads that something was not permitted."""
    kinds = {each.partition("=")[0] for each in guard.split(",")}
    named = [key for key, kind in (("user", "USER"), ("paths", "READ")) if kind in kinds]
    return f" (with {' and '.join(named)} of its configuration)" if named else ""


def wait(child: int, lifeline: int, wake_read: int, asked: list[int]) -> int:
    """Until the command ends (its status) or the node is gone; meanwhile orphans are reaped and signals passed on."""
    while True:
        ready, _, _ = select.select([lifeline, wake_read], [], [])
        if wake_read in ready:
            os.read(wake_read, 512)
        while asked:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(child, asked.pop())
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                if ended[0] == child:
                    status = os.waitstatus_to_exitcode(ended[1])
                    return status if status >= 0 else 128 - status
        if lifeline in ready and not received(lifeline):
            return 128 + signal.SIGKILL


def received(lifeline: int) -> bytes:
    """What the node says; empty when it is gone."""
    try:
        return os.read(lifeline, 512)
    except OSError:
        return b""


def kill_all(child: int) -> None:
    """Kill the group and every descendant: those of the killed become children of the subreaper, until none is left."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    while True:
        for pid in children():
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def children() -> list[int]:
    """The direct children of this process, by /proc; none where there is no /proc."""
    me = os.getpid()
    found: list[int] = []
    try:
        names = os.listdir("/proc")  # noqa: PTH208 - pathlib takes longer to import than this to run
    except OSError:
        return found
    for name in names:
        if name.isdigit():
            with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{name}/stat", "rb") as stat:  # noqa: PTH123
                # After the name, which may hold anything, come the state and the parent.
                if int(stat.read().rpartition(b")")[2].split()[1]) == me:
                    found.append(int(name))
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
