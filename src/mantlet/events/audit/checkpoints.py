"""Signed statements of where the chain stood: what shows that a tail, a file or the whole trail is gone.

`checkpoints.jsonl` holds one JSON object a line:

    {"n":3,"ts":"…","reason":"count","file":1,"seq":3000,"offset":1234567,"mac":"<hex>","previous":"<hex>","key":"…","sig":"…"}

`previous` is the SHA-256 of the whole line before (64 zeros for the first), `key` the first 16 hex digits of the
SHA-256 of the raw public key, `sig` the Ed25519 signature, in hex, over `mantlet-audit-checkpoint-v1\\n` followed by
the line as it stands up to (not including) `,"sig":"`. All methods are called by the holder of the trail's lock.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from mantlet.events.audit.chain import Head
from mantlet.events.audit.files import Files, write_whole

CONTEXT: Final = b"mantlet-audit-checkpoint-v1\n"
FILE_NAME: Final = "checkpoints.jsonl"
_TAIL_BYTES: Final = 4096
_SIG: Final = b',"sig":"'


class Checkpoint(msgspec.Struct):
    """One line, before its signature."""

    n: int
    ts: str
    reason: str
    file: int
    seq: int
    offset: int
    mac: str
    previous: str
    key: str


class Checkpoints:
    """The file of checkpoints: appended to, never rewritten. `export` is told each line, to carry it off the node."""

    def __init__(
        self,
        directory: Path,
        key: Ed25519PrivateKey,
        files: Files,
        *,
        syncs: bool,
        export: Callable[[bytes], None] | None = None,
    ) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._key = key
        self._files = files
        self._syncs = syncs
        self._export = export
        raw = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._key_id = hashlib.sha256(raw).hexdigest()[:16]

    def write(self, head: Head, ts: str, reason: str) -> None:
        """Sign and append that the chain stands at `head`. Raises `OSError`."""
        files = self._files
        files.make_directory(self._directory)
        fd = files.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        try:
            size, last = self._last_line(fd)
            line = self._sign(head, ts, reason, last)
            try:
                write_whole(files, fd, line)
                if self._syncs:
                    files.sync(fd)
            except OSError:
                files.truncate(fd, size)
                raise
        finally:
            files.close(fd)
        if self._syncs and not last:
            files.sync_directory(self._directory)
        if self._export is not None:
            self._export(line)

    def last(self) -> Head | None:
        """The head of the last checkpoint of ours; None without one, or when its signature is not this key's."""
        try:
            fd = self._files.open(self._path, os.O_RDWR | os.O_APPEND)
        except FileNotFoundError:
            return None
        try:
            _, line = self._last_line(fd)
        finally:
            self._files.close(fd)
        signed, _, signature = line.rstrip(b'"}\n').rpartition(_SIG)
        try:
            self._key.public_key().verify(bytes.fromhex(signature.decode()), CONTEXT + signed)
            checkpoint = msgspec.json.decode(signed + b"}", type=Checkpoint)
            return Head(checkpoint.seq, bytes.fromhex(checkpoint.mac), checkpoint.file, checkpoint.offset)
        except (InvalidSignature, ValueError):
            return None

    def _sign(self, head: Head, ts: str, reason: str, last: bytes) -> bytes:
        n, previous = 1, "0" * 64
        if last:
            previous = hashlib.sha256(last).hexdigest()
            try:
                n = int(msgspec.json.decode(last)["n"]) + 1
            except (ValueError, KeyError, TypeError):  # not ours to repair: the verifier names it
                n = 1
        checkpoint = Checkpoint(n, ts, reason, head.file, head.seq, head.offset, head.mac.hex(), previous, self._key_id)
        signed = msgspec.json.encode(checkpoint)[:-1]
        return signed + _SIG + self._key.sign(CONTEXT + signed).hex().encode() + b'"}\n'

    def _last_line(self, fd: int) -> tuple[int, bytes]:
        # The size after a torn line, left by a writer that died, is cut off; and the last whole line.
        size = self._files.size(fd)
        tail = self._files.read_at(fd, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        whole, _, torn = tail.rpartition(b"\n")
        if torn:
            size -= len(torn)
            self._files.truncate(fd, size)
        return size, whole[whole.rfind(b"\n") + 1 :] + b"\n" if whole else b""
