"""What the tests of the trail share: keys, records, a journal on a directory."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from mantlet.core.clock import SYSTEM
from mantlet.core.record import Record, Trail
from mantlet.events.audit import verify
from mantlet.events.audit.keys import AuditKeys
from mantlet.events.audit.writer import Journal, open_journal
from mantlet.events.config import AuditConfig

CHAIN_KEY = b"k" * 32
SIGNING_KEY = Ed25519PrivateKey.from_private_bytes(b"s" * 32)
KEYS = AuditKeys(CHAIN_KEY, SIGNING_KEY)


def record(request_id: str = "r", **fields: Any) -> Record:
    trail = Trail(request_id, "http", "192.0.2.1", 1.0, "tools/call", "echo", "time", principal="default/iss/alice")
    for name, value in fields.items():
        setattr(trail, name, value)
    return Record(trail, status=200, duration_s=0.001)


@asynccontextmanager
async def journal(
    directory: Path, *, files: Any = None, is_alone: bool = False, **settings: Any
) -> AsyncIterator[Journal]:
    settings = {"durability": "write", "retry_interval": 0.01} | settings
    config = AuditConfig(path=str(directory), **settings)
    async with open_journal(config, KEYS, clock=SYSTEM, files=files, is_alone=is_alone) as opened:
        yield opened


async def write(directory: Path, count: int, **settings: Any) -> None:
    async with journal(directory, **settings) as opened:
        for number in range(count):
            await opened.append(record(f"r{number}"))


def check(directory: Path, **more: Any) -> verify.Report:
    checkpoints = directory.with_name(directory.name + "-checkpoints")
    return verify.verify(directory, CHAIN_KEY, checkpoints=checkpoints, public_key=SIGNING_KEY.public_key(), **more)


def request_ids(directory: Path) -> list[str]:
    lines = [line for path in sorted(directory.glob("audit-*.jsonl")) for line in path.read_bytes().splitlines()]
    return [entry["request_id"] for line in lines if (entry := json.loads(line)).get("event") == "call"]


@pytest.fixture
def trails() -> SimpleNamespace:
    return SimpleNamespace(
        CHAIN_KEY=CHAIN_KEY,
        SIGNING_KEY=SIGNING_KEY,
        record=record,
        journal=journal,
        write=write,
        check=check,
        request_ids=request_ids,
    )
