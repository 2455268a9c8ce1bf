"""One lock file a name: who holds it may run the tool (flock(2)).

The lock belongs to the open file, and the command inherits it: it is free when the shim and everything that it started
are gone, also when the shim alone is killed. So two never run at once, and nobody has to clean up.
"""

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from mantlet.ops.shim.plan import LOCKED, ShimFailed

POLL_S: Final = 0.05


def default_folder() -> Path:
    """Where this user's locks are: its runtime directory, or one of its own in the temporary one."""
    runtime = os.environ.get("XDG_RUNTIME_DIR", "")
    if runtime and Path(runtime).is_dir():
        return Path(runtime) / "mantlet-shim"
    return Path(tempfile.gettempdir()) / f"mantlet-shim-{os.getuid()}"


def hold(name: str, folder: Path, timeout_s: float, *, monotonic: Callable[[], float] = time.monotonic) -> int:
    """The descriptor that holds the lock of `name`. Raises `ShimFailed` when another has it for `timeout_s`."""
    _make_own(folder)
    path = folder / f"{name}.lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    deadline_s = monotonic() + timeout_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if monotonic() >= deadline_s:
                holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
                os.close(descriptor)
                raise ShimFailed(
                    f"{name} is in use (by process {holder}; lock {path}); waited {timeout_s:g} s", LOCKED
                ) from None
            time.sleep(POLL_S)
        else:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, b"%d\n" % os.getpid(), 0)  # for whoever waits, to tell its user
            return descriptor


def _make_own(folder: Path) -> None:
    """The folder, which must be ours alone: in a common one another user could have put it there first."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise ShimFailed(f"the folder of locks {folder} cannot be made: {error.strerror}") from error
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o022:
        raise ShimFailed(f"the folder of locks {folder} is not yours alone; name another with --lock-dir")
