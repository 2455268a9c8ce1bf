"""What the bridge between the eras, the other doors, and clients that only wait cost."""

import asyncio
import contextlib
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.experiments.columns import COLUMNS, rows
from bench.lab import Lab, Table, era_arguments, through, us
from bench.rig.gateway import Gateway, config, http
from bench.rig.meter import Meter
from bench.rig.process import free_port
from bench.rounds import Target, interleave
from bench.wire import LEGACY, Era, body, head

IDLE = 5_000
STREAMED = 300
PORTS = {"websocket": "/ws/echo", "tcp": "/mcp/echo"}
INITIALIZE = {"protocolVersion": LEGACY, "capabilities": {}, "clientInfo": {"name": "bench", "version": "1"}}


def bridge(lab: Lab) -> list[Table]:
    """Calls of each era to a server of its own and of the other."""
    legacy = lab.mantlet("only-legacy", lab.direct("http_echo", *era_arguments("legacy")), label="to a legacy server")
    modern = lab.mantlet("only-modern", lab.direct("http_echo", *era_arguments("modern")), label="to a modern server")
    tables = []
    eras: tuple[Era, ...] = ("modern", "legacy")
    for era in eras:
        series = lab.compare([modern, legacy], era=era, concurrency=16)
        lab.keep(f"bridge.{era}", series)
        tables.append(Table(f"Bridge: a {era} client, `tools/call`, concurrency 16", COLUMNS, rows(series)))
    return tables


def doors(lab: Lab) -> list[Table]:
    """The same call by HTTP, WebSocket and TCP, to one node."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    ports = {door: free_port() for door in PORTS}
    many = {"max_connections": 10_000, "max_in_flight": 64}
    sections = {door: {"enabled": True, "port": port, **many} for door, port in ports.items()}
    gateway = lab.gateway("doors", [http("echo", f"http://127.0.0.1:{upstream.port}/mcp")], **sections)
    if gateway is None:
        return []
    meter = Meter.of(gateway.program.pid)
    by_http = through(gateway, "echo", label="HTTP")
    tables = []
    for concurrency in (1, 16):
        targets = [(by_http, by_http.job(concurrency=concurrency, seconds=lab.scale.seconds))]
        for door, path in PORTS.items():
            target = Target(door, ports[door], path, (gateway.token,), meter)
            targets.append((target, target.job(door=door, concurrency=concurrency, seconds=lab.scale.seconds)))
        series = interleave(lab.load, targets, lab.scale.rounds)
        for one in series:
            lab.answers["wrong"] += one.wrong
            lab.answers["failed"] += one.failed
            if one.first_failure:
                lab.note(f"{one.name}: {one.first_failure[:300]}")
        lab.keep(f"doors.{concurrency}", series)
        tables.append(Table(f"Doors: `tools/call`, modern, concurrency {concurrency}", COLUMNS, rows(series)))
    return tables


def first_byte(lab: Lab) -> list[Table]:
    """From the moment an upstream writes the first event of an answer until the client has it."""
    direct, behind = asyncio.run(_first_bytes(lab))
    if not behind:
        return []
    added_us = 1e6 * (statistics.median(behind) - statistics.median(direct))
    lab.fact("first_byte.added_us", value=added_us)
    cells: list[Sequence[str]] = [
        ["direct", us(1e6 * statistics.median(direct)), "-"],
        ["Mantlet", us(1e6 * statistics.median(behind)), us(added_us)],
    ]
    return [Table("First event of a streamed answer", ("target", "p50 µs after it was written", "added µs"), cells)]


async def _first_bytes(lab: Lab) -> tuple[list[float], list[float]]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while True:
                came = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = next((int(x[15:]) for x in came.split("\r\n") if x.startswith("content-length:")), 0)
                message = json.loads(await reader.readexactly(length))
                writer.write(
                    b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
                )
                stamp = {"level": "info", "data": time.perf_counter()}
                note = {"jsonrpc": "2.0", "method": "notifications/message", "params": stamp}
                result = {"resultType": "complete", "content": []}
                for said in (note, {"jsonrpc": "2.0", "id": message["id"], "result": result}):
                    event = b"data: %b\n\n" % json.dumps(said).encode()
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await asyncio.sleep(0.002)
                writer.write(b"0\r\n\r\n")

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    entry = {**http("echo", f"http://127.0.0.1:{port}/mcp"), "era": "modern"}
    gateway = await asyncio.to_thread(lab.gateway, "first-byte", [entry])
    if gateway is None:
        return [], []
    direct = Target("direct", port, "/mcp", ("",))
    found: tuple[list[float], list[float]] = ([], [])
    for target, into in ((direct, found[0]), (through(gateway, "echo"), found[1])):
        job = target.job()
        content = body(job, 1, "x")
        request = head(job, target.tokens[0]) + b"%d\r\n\r\n%b" % (len(content), content)
        reader, writer = await asyncio.open_connection(target.host, target.port)
        for _ in range(STREAMED):
            writer.write(request)
            line = b""
            while not line.startswith(b"data:"):
                line = await reader.readline()
            into.append(time.perf_counter() - json.loads(line[5:])["params"]["data"])
            await reader.readuntil(b"0\r\n\r\n")
        writer.close()
    server.close()
    return found


@dataclass(frozen=True)
class _Idle:
    """Clients of one kind that only wait."""

    name: str
    open: Callable[[Gateway, int], Awaitable[Any]]


def idle(lab: Lab) -> list[Table]:
    """Sessions and streams that nobody uses, by thousands."""
    upstream = lab.direct("http_echo", *era_arguments("modern"))
    ws_port = free_port()
    room = {"max_connections": 2 * IDLE, "per_address_connections": 2 * IDLE}
    limits = {**config([])["limits"], "connections": {"per_address": 2 * IDLE, "streams_per_caller": 2 * IDLE}}
    by_socket = {"enabled": True, "port": ws_port, **room, "per_caller_connections": 2 * IDLE}
    sections = {"http": room, "limits": limits, "websocket": by_socket}
    cells: list[Sequence[str]] = []

    async def session(gateway: Gateway, _: int) -> Any:
        return await _initialize(gateway)

    async def stream(gateway: Gateway, _: int) -> Any:
        name, host, port = await _initialize(gateway)
        reader, writer = await asyncio.open_connection(host, port)
        lines = [
            "GET /mcp/echo HTTP/1.1", f"host: {host}:{port}", "accept: text/event-stream",
            f"authorization: Bearer {gateway.token}", f"mcp-session-id: {name}", f"mcp-protocol-version: {LEGACY}",
        ]  # fmt: skip
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:20]:
            raise ConnectionError(head[:300].decode("latin-1"))
        return writer

    async def socket(gateway: Gateway, _: int) -> Any:
        reader, writer = await asyncio.open_connection("127.0.0.1", ws_port)
        lines = [
            "GET /ws/echo HTTP/1.1", f"host: 127.0.0.1:{ws_port}", "upgrade: websocket", "connection: Upgrade",
            "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==", "sec-websocket-version: 13",
            f"authorization: Bearer {gateway.token}",
        ]  # fmt: skip
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        if b" 101 " not in head[:20]:
            raise ConnectionError(head[:300].decode("latin-1"))
        return writer

    for kind in (_Idle("legacy session", session), _Idle("legacy stream", stream), _Idle("WebSocket", socket)):
        entry = http("echo", f"http://127.0.0.1:{upstream.port}/mcp")
        gateway = lab.gateway(f"idle-{kind.name}", [entry], **sections)
        if gateway is None:
            continue
        try:
            each_kib = asyncio.run(_room(gateway, kind))
        except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
            lab.note(f"idle {kind.name}: {type(error).__name__} {str(error)[:300]}")
            continue
        finally:
            gateway.program.stop()
        lab.fact("idle", kind.name, "kib", value=each_kib)
        cells.append([f"{IDLE:,} × {kind.name}", f"{each_kib:.1f}"])  # noqa: RUF001
    return [Table("Clients that only wait", ("what", "memory each, KiB"), cells)] if cells else []


async def _initialize(gateway: Gateway) -> tuple[str, str, int]:
    host, _, port = gateway.url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    content = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": INITIALIZE}).encode()
    lines = [
        "POST /mcp/echo HTTP/1.1", f"host: {host}:{port}", "content-type: application/json",
        "accept: application/json, text/event-stream", f"authorization: Bearer {gateway.token}",
        "connection: close", f"content-length: {len(content)}",
    ]  # fmt: skip
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + content)
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    writer.close()
    for line in head.split("\r\n"):
        if line.lower().startswith("mcp-session-id:"):
            return line.partition(":")[2].strip(), host, int(port)
    raise ConnectionError(head[:300])


async def _room(gateway: Gateway, kind: _Idle) -> float:
    """KiB that each of `IDLE` takes, after some have warmed everything up."""
    meter = Meter.of(gateway.program.pid)
    kept = [await kind.open(gateway, n) for n in range(200)]
    before = sum(meter.pss_kib().values())
    for start in range(0, IDLE, 50):
        kept += await asyncio.gather(*(kind.open(gateway, n) for n in range(start, start + 50)))
    after = sum(meter.pss_kib().values())
    for one in kept:
        if isinstance(one, asyncio.StreamWriter):
            one.close()
    return (after - before) / IDLE
