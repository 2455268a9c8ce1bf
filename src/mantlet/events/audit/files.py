"""Every system call that the audit trail makes, in one place, so that a test can make each of them fail in turn."""

import fcntl
import os
from pathlib import Path


class Files:
    """The operating system as it is. Each method raises `OSError` like the call it stands for."""

    def make_directory(self, path: Path) -> None:
        """Make `path` and what is above it, for this user alone."""
        path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self, path: Path) -> list[str]:
        """What stands in a directory."""
        return [entry.name for entry in path.iterdir()]

    def open(self, path: Path, flags: int) -> int:
        """A descriptor, closed on exec; what is created is for this user alone."""
        return os.open(path, flags | os.O_CLOEXEC, 0o600)

    def close(self, fd: int) -> None:
        """Let go of a descriptor; after an error it is gone too."""
        os.close(fd)

    def lock(self, fd: int, *, wait: bool) -> None:
        """Take the exclusive lock. `BlockingIOError` when it is held elsewhere and `wait` is false."""
        fcntl.flock(fd, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def unlock(self, fd: int) -> None:
        """Give the lock back; the kernel does it for the dead."""
        fcntl.flock(fd, fcntl.LOCK_UN)

    def write(self, fd: int, octets: bytes) -> int:
        """How many bytes were taken; fewer than all is no error."""
        return os.write(fd, octets)

    def write_at(self, fd: int, octets: bytes, offset: int) -> int:
        """Write at a place."""
        return os.pwrite(fd, octets, offset)

    def read_at(self, fd: int, count: int, offset: int) -> bytes:
        """At most `count` bytes from a place."""
        return os.pread(fd, count, offset)

    def size(self, fd: int) -> int:
        """Bytes in the file: a seek costs a third of a stat."""
        return os.lseek(fd, 0, os.SEEK_END)

    def truncate(self, fd: int, length: int) -> None:
        """Cut the file to `length`."""
        os.ftruncate(fd, length)

    def sync(self, fd: int) -> None:
        """Return when the file's bytes and length are on the disk."""
        os.fdatasync(fd)

    def sync_directory(self, path: Path) -> None:
        """Return when a new name in `path` is on the disk."""
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def is_same(self, fd: int, path: Path) -> bool:
        """Whether `path` still names the open file."""
        try:
            named = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        opened = os.fstat(fd)
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)


def write_whole(files: Files, fd: int, octets: bytes) -> None:
    """Write all of `octets`; a write that takes nothing is an error, not a loop."""
    taken = files.write(fd, octets)
    while taken < len(octets):
        more = files.write(fd, octets[taken:])
        if more <= 0:
            raise OSError(f"a write took {more} of {len(octets) - taken} bytes")
        taken += more


def read_whole(files: Files, fd: int, start: int, end: int) -> bytes:
    """The bytes from `start` to `end`, or to where the file ends."""
    parts = []
    while start < end and (part := files.read_at(fd, min(end - start, 1 << 24), start)):
        parts.append(part)
        start += len(part)
    return b"".join(parts)
