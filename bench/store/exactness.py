"""Eight processes at three nodes' worth of one limit: the most in any true window, and what was left unused."""

import asyncio
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.stores.servers import Servers

from bench.store.nodes import Calls

HAMMER = Path(__file__).parent.parent.parent / "tests" / "stores" / "valkey" / "hammer.py"
PROCESSES = 8


@dataclass(frozen=True)
class Exactness:
    """Of one limit under a crowd that always wants more."""

    name: str
    limit: int
    window_s: float
    most: int
    under: float
    """The part of what the limit allows over the whole time that was not admitted."""


async def hammered(name: str, limit: int, window_s: float, *, sharers: int, seconds: float) -> Exactness:
    """`sharers` above 0: with leases."""
    pipe = asyncio.subprocess.PIPE
    with tempfile.TemporaryDirectory() as folder:
        servers = Servers(Path(folder))
        try:
            url = f"valkey://127.0.0.1:{servers.start()}"
            words = [sys.executable, str(HAMMER), url, str(seconds), str(limit), str(window_s), str(sharers)]
            started = [
                await asyncio.create_subprocess_exec(*words, stdin=pipe, stdout=pipe, limit=2**26)
                for _ in range(PROCESSES)
            ]
            for process in started:
                assert process.stdout is not None
                await process.stdout.readline()
            for process in started:
                assert process.stdin is not None
                process.stdin.write(b"go\n")
            said = [(await process.communicate())[0] for process in started]
        finally:
            servers.close()
    at_s = sorted(int(one) / 1e6 for output in said for one in output.split())
    most = Calls(admitted_s=at_s).most_in_a_window(window_s)
    # Without the first window's worth, which is there at once: what came after it, by the time since it began.
    first = sum(one < at_s[0] + window_s for one in at_s)
    allowed = (at_s[-1] - at_s[0]) * limit / window_s
    return Exactness(name, limit, window_s, most, max(0.0, 1 - (len(at_s) - first) / allowed))
