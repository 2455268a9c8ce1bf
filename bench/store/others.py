"""The same three limits with the package `limits` (which SlowAPI uses), for `--other-python`. Runs by itself:
`python others.py URL DECISIONS`, in an environment with `limits`, `redis` and `hiredis`."""

import asyncio
import resource
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


async def main(url: str, decisions: int) -> None:
    parse = import_module("limits").parse
    url = "async+" + url.replace("valkey", "redis", 1)
    storage: Any = import_module("limits.aio.storage").RedisStorage(url, implementation="redispy")
    strategies = import_module("limits.aio.strategies")
    items = [
        (parse("2000000 per 60 seconds"), ("alice", "client")),
        (parse("20000000 per 60 seconds"), ("all", "global")),
        (parse("500000 per 1 second"), ("alice", "burst")),
    ]
    for kind in ("MovingWindow", "SlidingWindowCounter", "FixedWindow"):
        limiter = getattr(strategies, f"{kind}RateLimiter")(storage)

        async def caller(times: int, limiter: Any = limiter, kind: str = kind) -> None:
            for _ in range(times):
                for item, key in items:  # one after the other: it has no way to take several together
                    await limiter.hit(item, kind, *key)

        for concurrency in (1, 16, 64):
            await asyncio.gather(*(caller(2) for _ in range(concurrency)))
            best = 1e9
            for _ in range(3):
                before_s = cpu_s()
                await asyncio.gather(*(caller(decisions // concurrency) for _ in range(concurrency)))
                best = min(best, (cpu_s() - before_s) / (decisions // concurrency * concurrency) * 1e6)
            name = f"limits {version('limits')}, {kind}"
            print(name, concurrency, best, len(items), sep="\t", flush=True)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
