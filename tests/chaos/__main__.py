"""`python -m tests.chaos`: run the schedule of a seed under load, then judge."""

import argparse
import asyncio
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec
from tests.chaos import verdict
from tests.chaos.load import Caller, Outcome
from tests.chaos.schedule import Fault, schedule
from tests.chaos.world import LIMIT, WINDOW_S, World

NODES = ("node-0", "node-1")
CALM_S = 8.0
"""After the last fault: all must be as if nothing had been."""
START_S = 60.0
EARLY = 5
"""The samples of memory in which a worker comes to its size; it imports for seconds, on a busy machine for ten."""
LATE = 15
GROWTH_KIB = 24 * 1024
"""By which workers may have grown since then, in the median."""


async def play(world: World, faults: list[Fault], began_s: float) -> None:
    """Do to the world what the schedule says. Faults may overlap."""

    async def one(fault: Fault) -> None:
        await asyncio.sleep(max(0.0, began_s + fault.at_s - time.monotonic()))
        start_s = time.monotonic()
        pid = await asyncio.to_thread(world.fault, fault.kind, fault.target)
        print(f"{fault.at_s:7.2f} s  {fault.kind:5} {fault.target:10} for {fault.lasts_s:.2f} s", flush=True)
        await asyncio.sleep(fault.lasts_s)
        await asyncio.to_thread(world.mend, fault.kind, fault.target, pid)
        world.faulted.append((start_s, time.monotonic(), fault.kind, fault.target))

    async with asyncio.TaskGroup() as group:
        for fault in faults:
            group.create_task(one(fault))


async def watch(world: World, until_s: float, seen: dict[int, list[int]]) -> None:
    """The memory of every worker, over its life."""
    while time.monotonic() < until_s:
        for pid, kib in (await asyncio.to_thread(world.memory_kib)).items():
            seen.setdefault(pid, []).append(kib)
        await asyncio.sleep(2.0)


async def run(world: World, seed: int, seconds: float, callers: int) -> tuple[Outcome, Outcome, dict[int, list[int]]]:
    """The stormy part and the calm after it."""
    chance = random.Random(seed)
    ports = [world.ports[name] for name in NODES]
    stormy, calm = Outcome(), Outcome()
    began_s = time.monotonic()
    until_s = began_s + seconds
    memory: dict[int, list[int]] = {}

    def crowd(outcome: Outcome, phase: str) -> list[Caller]:
        return [
            Caller(f"{phase}-{n}", world.token(f"caller-{n}"), ports, outcome, random.Random(chance.random()))
            for n in range(callers)
        ]

    async with asyncio.TaskGroup() as group:
        group.create_task(play(world, list(schedule(seed, seconds)), began_s))
        group.create_task(watch(world, until_s, memory))
        for caller in crowd(stormy, "stormy"):
            group.create_task(caller.run(until_s, 0.05))
    await up(ports, calm)
    await asyncio.sleep(CALM_S)
    async with asyncio.TaskGroup() as group:
        for caller in crowd(calm, "calm"):
            group.create_task(caller.run(time.monotonic() + CALM_S, 0.05))
    return stormy, calm, memory


async def up(ports: list[int], calm: Outcome) -> None:
    """Until all nodes listen again: how long a start takes is the machine's affair, that it ends is theirs."""
    end_s = time.monotonic() + START_S
    for port in ports:
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                break
            if time.monotonic() > end_s:
                calm.wrong.append(f"nobody listens on {port} {START_S:g} s after the storm")
                return
            await asyncio.sleep(0.1)


def records(world: World) -> Iterator[dict[str, Any]]:
    """Every audit record of both nodes."""
    for name in NODES:
        for file in sorted((world.folder / name / "audit").glob("*.jsonl")):
            for line in file.read_bytes().splitlines():
                with suppress(msgspec.DecodeError):  # a torn line, which `verify` judges
                    yield msgspec.json.decode(line)


def admitted(world: World) -> Iterator[tuple[str, float]]:
    """Who was let through to the counted tool, and when, in Unix time."""
    for record in records(world):
        if record.get("object") == "counted" and record.get("reason") != "rate_limited":
            yield record["principal"], datetime.fromisoformat(record["ts"]).timestamp()


def judged(world: World, stormy: Outcome, calm: Outcome, memory: dict[int, list[int]]) -> list[str]:
    """Everything that is wrong."""
    wrong = [*stormy.wrong, *calm.wrong]
    asked = {**stormy.asked, **calm.asked}
    answered = {**stormy.answered, **calm.answered}
    wrong += verdict.effects(asked, answered, world.executions())
    offset_s = time.time() - time.monotonic()
    away = [
        (start + offset_s, end + offset_s)
        for start, end, _, target in world.faulted
        if not target.startswith("upstream")
    ]
    over, worst = verdict.limits(admitted(world), LIMIT, WINDOW_S, away)
    wrong += over
    wrong += verdict.recorded(answered, records(world))
    wrong += [f"after the storm: {count} calls ended as {word}" for word, count in calm.counts.items()
              if word not in ("200", "429")]  # fmt: skip
    for name in NODES:
        command = [sys.executable, "-m", "mantlet", "events", "verify", "-c", str(world.folder / name / "mantlet.yaml")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            wrong.append(f"{name}: its trail is not whole: {(done.stdout + done.stderr)[-500:]}")
    old = [samples for samples in memory.values() if len(samples) > LATE]
    grown = [samples[-1] - max(samples[:EARLY]) for samples in old]
    if grown and statistics.median(grown) > GROWTH_KIB:
        wrong.append(f"memory: workers have grown by {statistics.median(grown)} KiB")
    print(f"calls under faults: {dict(stormy.counts)}")
    print(f"calls after them: {dict(calm.counts)}")
    print(f"the counted tool: at most {worst} of {LIMIT} in any {WINDOW_S:g} s of one caller")
    print(f"memory of workers: grown by {statistics.median(grown) / 1024 if grown else 0:.1f} MiB "
          f"(of {len(memory)} that lived, {len(grown)} for long)")  # fmt: skip
    return wrong


def main() -> int:
    """Exits 1 with what is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--callers", type=int, default=24)
    parser.add_argument("--keep", action="store_true", help="leave configs, logs and trails")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="mantlet-chaos-"))
    world = World(folder)
    print(f"chaos: seed {options.seed}, {options.seconds:g} s, {options.callers} callers, two nodes, in {folder}")
    try:
        world.start()
        stormy, calm, memory = asyncio.run(run(world, options.seed, options.seconds, options.callers))
    finally:
        world.stop()
    wrong = judged(world, stormy, calm, memory)
    for each in wrong[:50]:
        print(f"WRONG: {each}")
    print(f"{len(wrong)} things wrong" if wrong else "nothing wrong")
    if not options.keep and not wrong:
        import shutil

        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
