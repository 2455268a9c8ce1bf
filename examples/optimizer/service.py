"""A small optimisation service, as many a team runs one: it knows nothing of callers, keys or limits.

    python service.py [PORT]

GET  /status        how much it has done
POST /solve         a routing problem as JSON; the plan as JSON, or with `Accept: text/event-stream` each better one
GET  /data          names of the stored distance tables
GET  /data/{name}   one of them
PUT  /data/{name}   store one
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

import uvicorn
from routing import Plan, Problem, Search
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

MAX_PLACES = 60
MAX_SECONDS = 60.0
MAX_TABLES = 100

done = {"solved": 0, "running": 0, "abandoned": 0}
tables: dict[str, Any] = {"triangle": [[0, 3, 4], [3, 0, 5], [4, 5, 0]]}


async def status(_: Request) -> Response:
    """How much was done, and is under way."""
    return JSONResponse(done)


async def listed(_: Request) -> Response:
    """The names of the tables."""
    return JSONResponse(sorted(tables))


async def table(request: Request) -> Response:
    """Read or store one table."""
    name = request.path_params["name"]
    if request.method == "PUT":
        if len(tables) >= MAX_TABLES and name not in tables:
            raise HTTPException(507, "there is no room for more tables")
        tables[name] = _square(await request.json())
        return Response(status_code=204)
    if name not in tables:
        raise HTTPException(404, "there is no such table")
    return JSONResponse(tables[name])


async def solve(request: Request) -> Response:
    """Look for the shortest plan for as long as the request says, or its caller waits."""
    asked = await request.json()
    problem, seconds = _problem(asked)
    found: asyncio.Queue[int] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    search = Search(problem, seconds, lambda length: loop.call_soon_threadsafe(found.put_nowait, length))
    if "text/event-stream" in request.headers.get("accept", ""):
        return StreamingResponse(_events(search, found), media_type="text/event-stream")
    async with asyncio.TaskGroup() as group:
        leaving = group.create_task(_until_gone(request, search))
        plan = await _run(search)
        leaving.cancel()
    if plan is None:
        raise HTTPException(422, "there is no plan, or none was found in time")
    return JSONResponse(asdict(plan))


async def _run(search: Search) -> Plan | None:
    done["running"] += 1
    try:
        plan = await asyncio.to_thread(search.run)
        done["solved"] += plan is not None
        return plan
    finally:
        done["running"] -= 1


async def _until_gone(request: Request, search: Search) -> None:
    while not await request.is_disconnected():  # noqa: ASYNC110 - Starlette says so only when it is asked
        await asyncio.sleep(0.1)
    done["abandoned"] += 1
    search.stop()


async def _events(search: Search, found: asyncio.Queue[int]) -> AsyncIterator[str]:
    async with asyncio.TaskGroup() as group:
        running = group.create_task(_run(search))
        try:
            while not running.done() or not found.empty():
                waiting = group.create_task(found.get())
                await asyncio.wait({running, waiting}, return_when=asyncio.FIRST_COMPLETED)
                if waiting.done():
                    yield _event("better", {"distance": waiting.result()})
                waiting.cancel()
            plan = running.result()
            yield _event("plan", None if plan is None else asdict(plan))
        finally:
            if not running.done():
                done["abandoned"] += 1
                search.stop()


def _event(name: str, data: Any) -> str:
    return f"event: {name}\ndata: {json.dumps(data)}\n\n"


def _problem(asked: Any) -> tuple[Problem, float]:
    try:
        given = asked["distances"]
        distances = _square(tables[given] if isinstance(given, str) else given)
        demands = [int(demand) for demand in asked["demands"]]
        vehicles, capacity = int(asked["vehicles"]), int(asked["capacity"])
        seconds = min(MAX_SECONDS, max(0.1, float(asked.get("seconds", 5))))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise HTTPException(422, "distances, demands, vehicles and capacity are needed") from error
    if len(demands) != len(distances) or min(demands) < 0 or max(demands) > capacity or vehicles < 1:
        raise HTTPException(422, "a demand for each place, which a van can carry")
    return Problem(distances, demands, vehicles, capacity), seconds


def _square(given: Any) -> list[list[int]]:
    if not isinstance(given, list) or not 2 <= len(given) <= MAX_PLACES:
        raise HTTPException(422, f"distances are a table of 2 to {MAX_PLACES} places")
    if any(not isinstance(row, list) or len(row) != len(given) for row in given):
        raise HTTPException(422, "distances are a square table")
    return [[int(cell) for cell in row] for row in given]


app = Starlette(
    routes=[
        Route("/status", status),
        Route("/solve", solve, methods=["POST"]),
        Route("/data", listed),
        Route("/data/{name}", table, methods=["GET", "PUT"]),
    ]
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]) if len(sys.argv) > 1 else 7001, log_level="warning")
