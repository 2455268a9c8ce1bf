"""Legacy sessions opened beforehand, by hundreds."""

import asyncio

from bench.soak.client import Connection
from bench.wire import INITIALIZED, Job, head, initialize

AT_ONCE = 16


async def open_sessions(job: Job, token: str, count: int) -> list[str]:
    """So many sessions of one caller, opened and initialized. Raises `ConnectionError`."""
    sessions: list[str] = []

    async def opener() -> None:
        connection = Connection(job.port)
        while len(sessions) < count:
            sessions.append("")
            at = len(sessions) - 1
            start = head(job, token, method="initialize")
            content = initialize()
            answer, said = await connection.ask(start + b"%d\r\n\r\n%b" % (len(content), content))
            if answer.status != 200:
                raise ConnectionError(f"initialize: {answer.status} {said[:300]!r}")
            sessions[at] = answer.session
            start = head(job, token, answer.session)
            answer, said = await connection.ask(start + b"%d\r\n\r\n%b" % (len(INITIALIZED), INITIALIZED))
            if answer.status not in (200, 202):
                raise ConnectionError(f"initialized: {answer.status} {said[:300]!r}")
        connection.close()

    await asyncio.gather(*(opener() for _ in range(AT_ONCE)))
    return sessions
