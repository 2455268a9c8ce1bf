"""The chain on disk: groups of records appended under a lock that all workers of a node share.

Four rules for this file.
1. One chain a node (AUD-04). Whoever appends holds an exclusive `flock`; the kernel frees it for the dead. The shared
   head (`.head`: last number, mac, file, offset) says where to go on, and is believed only where it agrees with the
   file's real size. Else the file itself is read, from the last place known to be good. Who writes alone keeps the lock
   for a while (`holds`), and need not look meanwhile what others have done.
2. What failed is not acknowledged, and is cut off again: `append` either returns, or raises and the group is gone.
   After a failed sync the page cache is not believed: the file is left, and a new one carries the chain on.
3. Nothing is hidden. A torn tail is moved to a file beside and recorded (`audit.recovered`); records that were known
   and are gone are recorded (`audit.lost`) and leave a gap that the verifier names.
4. The chain never goes back: numbers known to this process, to `.head` or to a signed checkpoint are not used twice.

Not safe for threads: one at a time.
"""

import errno
import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from mantlet.events.audit import chain
from mantlet.events.audit.chain import ChainKey, Head
from mantlet.events.audit.checkpoints import Checkpoints
from mantlet.events.audit.files import Files, read_whole, write_whole

HEAD_FILE: Final = ".head"
_APPEND: Final = os.O_RDWR | os.O_APPEND
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_PREVIOUS: Final = re.compile(rb'"previous_mac":"([0-9a-f]{64})"')

Describe = Callable[[str, dict[str, str]], bytes]
"""Gives the body of a record about the trail itself: event name, notes."""


class TrailFiles:
    """See the top of the file. Every public method but `close` raises `OSError` when the disk does."""

    def __init__(
        self,
        directory: Path,
        key: ChainKey,
        checkpoints: Checkpoints,
        describe: Describe,
        stamp: Callable[[], str],
        *,
        syncs: bool,
        checkpoint_every: int,
        max_file_bytes: int,
        files: Files | None = None,
    ) -> None:
        self._directory = directory
        self._key = key
        self._checkpoints = checkpoints
        self._describe = describe
        self._stamp = stamp
        self._syncs = syncs
        self._every = checkpoint_every
        self._max_file_bytes = max_file_bytes
        self._files = files or Files()
        self._head = Head()
        self._packed = b""  # what `.head` holds when nobody else wrote since
        self._head_fd = -1
        self._fd = -1
        self._fd_file = 0
        self._is_held = False  # the lock is ours
        self._cut_back: Head | None = None  # a group that failed still stands after it
        self._distrusted = 0  # a file whose disk or cache failed us: nothing more goes there
        self.checkpointed_seq = 0
        self.checkpoint_failures = 0

    @property
    def head(self) -> Head:
        """Where the chain stood when this process last looked."""
        return self._head

    def append(self, bodies: list[bytes], *, wait: bool = True, look: bool = False, holds: bool = False) -> None:
        """Add a group: all of it, as durably as configured, or none. `BlockingIOError` if not `wait` and locked.

        `look` first makes sure that the files are still in their place: what is written to an open file whose name is
        gone is gone with it. `holds` keeps the lock until `release`, a failure or a checkpoint: a group then costs two
        system calls instead of six.
        """
        if look:
            self._look()
        was_held = self._is_held
        self._lock(wait=wait)
        is_done = False
        try:
            head = self._settled(is_known=was_held)
            if bodies:
                self._append(head, bodies)
            is_done = True
        finally:
            if not (holds and is_done):
                self.release()

    def release(self) -> None:
        """Let others append."""
        if self._is_held:
            self._is_held = False
            self._files.unlock(self._head_fd)

    def checkpoint(self, reason: str) -> None:
        """Sign where the chain stands, if there is anything new; and look whether the files are still in place."""
        self._look()
        self._lock(wait=True)
        try:
            self._sign(self._settled(), reason)
        finally:
            self.release()

    def _lock(self, *, wait: bool) -> None:
        if self._is_held:
            return
        if self._head_fd < 0:
            self._open_head()
        self._files.lock(self._head_fd, wait=wait)
        self._is_held = True

    def _look(self) -> None:
        if self._head_fd >= 0 and not self._files.is_same(self._head_fd, self._directory / HEAD_FILE):
            self._let_go_of_head()
        if self._fd >= 0 and not self._files.is_same(self._fd, self._path(self._fd_file)):
            self._let_go()

    def close(self) -> None:
        """Let go of the files."""
        self._let_go()
        self._let_go_of_head()

    # --- appending, lock held ------------------------------------------------------------------------------------

    def _append(self, head: Head, bodies: list[bytes]) -> None:
        group, after = chain.link(self._key, head, bodies)
        if after.offset > self._max_file_bytes or head.file in (0, self._distrusted):
            head = self._begin_file(head, "audit.opened", {})
            group, after = chain.link(self._key, head, bodies)
        self._put(head, group)
        self._commit(after)
        if after.seq // self._every > head.seq // self._every:
            self._sign(after, "count")

    def _put(self, head: Head, group: bytes) -> None:
        try:
            write_whole(self._files, self._fd, group)
            if self._syncs:
                self._files.sync(self._fd)
        except OSError as error:
            if error.errno not in _FULL:
                self._distrusted = head.file
            try:
                self._files.truncate(self._fd, head.offset)
            except OSError:
                self._cut_back = head  # tried again before anything else is written
            self._let_go()
            raise

    def _commit(self, head: Head) -> None:
        self._head = head
        packed = chain.pack(head)
        try:
            self._files.write_at(self._head_fd, packed, 0)
        except OSError:
            # The records stand, which is what counts. A stale `.head` is only read past by the next holder.
            packed = b""
        self._packed = packed

    def _begin_file(self, head: Head, event: str, notes: dict[str, str]) -> Head:
        if head.seq:
            self._sign(head, "rotation")
        number = max([head.file, *self._numbers()])
        # A writer that died here has left an empty file: it is used, so that numbers have no gap.
        number += number in (head.file, self._distrusted) or self._size_of(number) > 0
        self._let_go()
        # Spoilt until the new file counts: if we die in between, the others must look for it. Their own file and an
        # untouched `.head` would tell them that nothing has happened, and the chain would fork.
        self._packed = b""
        self._files.write_at(self._head_fd, bytes(chain.HEAD_BYTES), 0)
        self._fd = self._files.open(self._path(number), _APPEND | os.O_CREAT)
        self._fd_file = number
        begun = Head(head.seq, head.mac, number, 0)
        group, after = chain.link(self._key, begun, [self._describe(event, chain.opened_notes(head, **notes))])
        self._put(begun, group)
        if self._syncs:
            self._files.sync_directory(self._directory)
        self._commit(after)
        return after

    def _sign(self, head: Head, reason: str) -> None:
        if head.seq <= self.checkpointed_seq:
            return
        try:
            self._checkpoints.write(head, self._stamp(), reason)
        except OSError:
            self.checkpoint_failures += 1  # records are written all the same; the next turn of the clock tries again
        else:
            self.checkpointed_seq = head.seq

    # --- finding the head, lock held -----------------------------------------------------------------------------

    def _settled(self, *, is_known: bool = False) -> Head:
        if is_known and self._packed and self._fd >= 0:
            return self._head  # held since, and nothing failed: nobody else can have written
        packed = self._files.read_at(self._head_fd, chain.HEAD_BYTES, 0)
        if packed == self._packed and self._fd >= 0 and self._files.size(self._fd) == self._head.offset:
            return self._head
        return self._find(chain.unpack(packed))

    def _find(self, shared: Head | None) -> Head:
        known = self._known(shared)
        self._cut_what_failed(known)
        if known.seq == 0 and not known.file and (numbers := self._numbers()):
            known = self._start_of(numbers)
        if known.file and (not self._hold(known.file) or self._files.size(self._fd) < known.offset):
            return self._go_on_after(known, known, "audit.lost")
        head, torn = known, list[tuple[int, int, bytes]]()
        for number in [known.file, *(number for number in self._numbers() if number > known.file)]:
            if not number or not self._hold(number):
                continue
            further, rest = self._read_on(known if number == known.file else Head(head.seq, head.mac, number, 0))
            head = further if further.offset else head
            if b"\n" in rest:
                # One write was cut short at most within a line. Whole lines that do not fit are no torn tail but
                # damage, or somebody's work: they stay where they are, for the verifier to name.
                return self._go_on_after(known, head, "audit.damaged")
            if rest:
                torn.append((number, further.offset, rest))
        return self._recover(head, torn)

    def _recover(self, head: Head, torn: list[tuple[int, int, bytes]]) -> Head:
        recovered = [self._describe("audit.recovered", self._set_aside(*tail)) for tail in torn]
        if head.file:
            self._hold(head.file)
            self._commit(head)
        self._head = head
        if recovered:
            self._append(head, recovered)
        return self._head

    def _cut_what_failed(self, known: Head) -> None:
        cut = self._cut_back
        # Another process may have gone on meanwhile; then what stands there is part of the chain.
        if cut is not None and (cut.seq, cut.mac) == (known.seq, known.mac) and self._hold(cut.file):
            self._files.truncate(self._fd, cut.offset)
        self._cut_back = None

    def _known(self, shared: Head | None) -> Head:
        candidates = [self._head, shared or Head()]
        if self._head.seq == 0:
            signed = self._checkpoints.last()
            if signed is not None:
                self.checkpointed_seq = signed.seq
                candidates.append(signed)
        return max(candidates, key=lambda head: head.seq)

    def _start_of(self, numbers: list[int]) -> Head:
        # Without any head: the first record of the newest file that has one says what came before, under its own mac.
        for number in reversed(numbers):
            if not self._hold(number):
                continue
            line = self._files.read_at(self._fd, chain.MAX_LINE_BYTES, 0).partition(b"\n")[0]
            stated, previous = chain.stated(line), _PREVIOUS.search(line)
            if stated is not None and previous is not None:
                return Head(stated[0] - 1, bytes.fromhex(previous[1].decode()), number, 0)
        return Head()

    def _read_on(self, head: Head) -> tuple[Head, bytes]:
        size = self._files.size(self._fd)
        tail = read_whole(self._files, self._fd, head.offset, size) if size > head.offset else b""
        return chain.follow(self._key, head, tail)

    def _set_aside(self, number: int, offset: int, rest: bytes) -> dict[str, str]:
        digest = hashlib.sha256(rest).hexdigest()
        name = f"{chain.file_name(number)}.torn-{offset}-{digest[:8]}"
        fd = self._files.open(self._directory / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            write_whole(self._files, fd, rest)
            if self._syncs:
                self._files.sync(fd)
        finally:
            self._files.close(fd)
        if self._hold(number):
            self._files.truncate(self._fd, offset)
        return {
            "file": chain.file_name(number),
            "offset": str(offset),
            "torn_bytes": str(len(rest)),
            "sha256": digest,
            "kept_as": name,
        }

    def _go_on_after(self, known: Head, head: Head, event: str) -> Head:
        held = self._files.size(self._fd) if self._fd >= 0 else 0
        self._head = known
        notes = {"file": chain.file_name(head.file), "good_bytes": str(head.offset), "found_bytes": str(held)}
        return self._begin_file(head, event, notes)

    # --- files ---------------------------------------------------------------------------------------------------

    def _open_head(self) -> None:
        self._files.make_directory(self._directory)
        self._head_fd = self._files.open(self._directory / HEAD_FILE, os.O_RDWR | os.O_CREAT)
        self._packed = b""

    def _hold(self, number: int) -> bool:
        if self._fd >= 0 and self._fd_file == number:
            return True
        self._let_go()
        try:
            self._fd = self._files.open(self._path(number), _APPEND)
        except FileNotFoundError:
            return False
        self._fd_file = number
        return True

    def _let_go(self) -> None:
        fd, self._fd, self._fd_file = self._fd, -1, 0
        if fd >= 0:
            with suppress(OSError):  # the descriptor is gone all the same; what it held was synced or is read again
                self._files.close(fd)

    def _let_go_of_head(self) -> None:
        fd, self._head_fd = self._head_fd, -1
        self._is_held = False
        if fd >= 0:
            self._files.close(fd)

    def _numbers(self) -> list[int]:
        return sorted(number for name in self._files.names(self._directory) if (number := chain.file_number(name)))

    def _size_of(self, number: int) -> int:
        fd = self._files.open(self._path(number), os.O_RDONLY)
        try:
            return self._files.size(fd)
        finally:
            self._files.close(fd)

    def _path(self, number: int) -> Path:
        return self._directory / chain.file_name(number)
