"""Thousands of connections that are slow or silent: the room they take, when they are closed, what others notice."""

import contextlib
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any, TypeVar

import msgspec

from bench.holding import Ended, Holding, Opened
from bench.lab import Lab, Table, era_arguments, through, us
from bench.rig.certificates import authority, sign
from bench.rig.gateway import Gateway, config, http
from bench.rig.meter import Meter
from bench.rig.process import ROOT, free_port, many_files
from bench.rounds import RoundFailed
from bench.wire import Job, head

HELD = 5_000
DEADLINE_S = 10.0
"""The default for heads, handshakes and `auth`; for bodies it is configured."""
PING_S = 10.0
"""Between pings, and for an answer: a WebSocket's deadline is both. Opening thousands takes its time."""
LATE_S = 1.0
AFTER_S = 3.0
"""How long is looked beyond the deadline."""
GOOD = 8
PAUSE_S = 0.005
BODY_BYTES = 1_000
Said = TypeVar("Said", Opened, Ended)
STRANGERS = [f"127.0.1.{number}" for number in range(1, 101)]


@dataclass(frozen=True)
class _Kind:
    """Clients of one kind: at which door they are, and what they say there."""

    name: str
    door: str
    start: str = ""
    trickle: str = ""
    answer: str = ""
    sources: Sequence[str] = ("127.0.0.2",)
    deadline_s: float = DEADLINE_S
    has_room: bool = True
    """Whether the caps on connections are raised for them; else what is configured by default holds."""


def _kinds(token: str) -> list[_Kind]:
    job = Job(port=80, path="/mcp/echo")
    body = head(job, token).decode() + f"{BODY_BYTES}\r\n\r\n" + '{"'
    upgrade = (
        "GET /ws/echo HTTP/1.1\r\nhost: 127.0.0.1:PORT\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
        "sec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\nsec-websocket-version: 13\r\n"
        f"authorization: Bearer {token}\r\n\r\n"
    )
    slow = "GET /mcp/echo HTTP/1.1\r\nhost: 127.0.0.1\r\n"
    return [
        _Kind("silent from the first byte on", "http"),
        _Kind("slow heads", "http", start=slow, trickle=f"x-slow: {'y' * 200}"),
        _Kind("slow bodies", "http", start=body, trickle="x"),
        _Kind("silent TLS handshakes", "tcp"),
        _Kind("slow TLS handshakes", "tcp", start="\x16\x03\x01\x02", trickle="\x00"),
        _Kind("TLS handshakes left after the first message", "tcp", start=_hello()),
        _Kind("silent WebSockets", "websocket", start=upgrade, answer="HTTP/1.1 101", deadline_s=2 * PING_S),
        _Kind("slow heads, caps as they are by default, one address", "http", start=slow, trickle="x", has_room=False),
        _Kind(
            "the same from 100 addresses", "http", start=slow, trickle="x", sources=STRANGERS, has_room=False
        ),
    ]  # fmt: skip


def _hello() -> str:
    """What a TLS client says first."""
    said = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), said, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return said.read().decode("latin-1")


def connections(lab: Lab) -> list[Table]:
    """Each kind at a node of its own: good callers alone, and while the connections are held and closed, in turn."""
    many_files()
    certificates = lab.place("certificates")
    authority(certificates)
    tls = sign(certificates, "server")
    cells = [_row(lab, number, tls) for number, kind in enumerate(_kinds("")) if lab.wants(kind.name)]
    title = f"{HELD:,} connections that are slow or silent, and {GOOD} good callers"
    columns = (
        "what they are", "held", "turned away", "MiB more", "deadline, s", "closed after, s", "still open",
        "p99 alone, µs", "p99 with them, µs", "times", "good calls failed",
    )  # fmt: skip
    note = (
        f"Target: at most 100 MiB, all closed {LATE_S:g} s after the deadline, p99 at most twice. The kernel's "
        "own memory for sockets is not the process's, and not counted."
    )
    return [Table(title, columns, [row for row in cells if row], note)]


def _sections(kind: _Kind, ports: Mapping[str, int], tls: Mapping[str, str]) -> dict[str, Mapping[str, Any]]:
    room = {"max_connections": 2 * HELD, "per_address_connections": 2 * HELD} if kind.has_room else {}
    limits = {name: limit for name, limit in config([])["limits"].items() if name != "connections"}
    if kind.has_room:
        limits["connections"] = {"per_address": 2 * HELD}
    pings = {"ping_interval": PING_S, "ping_timeout": PING_S, "per_caller_connections": 2 * HELD}
    return {
        "http": {**room, "body_timeout": DEADLINE_S},
        "limits": limits,
        "websocket": {"enabled": True, "port": ports["websocket"], **room, **pings},
        "tcp": {"enabled": True, "port": ports["tcp"], **room, "tls": tls},
    }


def _row(lab: Lab, number: int, tls: Mapping[str, str]) -> Sequence[str]:
    upstream, _ = lab.server("http_echo", *era_arguments("modern"))
    ports = {"websocket": free_port(), "tcp": free_port()}
    kind = _kinds("")[number]
    lab.progress(f"connections: {kind.name}, about {4 * (kind.deadline_s + AFTER_S) + 15:.0f} s")
    entry = http("echo", f"http://127.0.0.1:{upstream}/mcp")
    gateway = lab.gateway(f"connections-{number}", [entry], **_sections(kind, ports, tls))
    if gateway is None:
        return []
    kind = _kinds(gateway.token)[number]
    try:
        row = _measured(lab, kind, gateway, ports.get(kind.door, int(gateway.url.rpartition(":")[2])))
        lab.progress(" | ".join(row))
        return row
    except (RoundFailed, OSError, msgspec.MsgspecError) as error:
        lab.note(f"connections, {kind.name}: {type(error).__name__} {str(error)[:300]}")
        return []
    finally:
        gateway.program.stop()


def _measured(lab: Lab, kind: _Kind, gateway: Gateway, port: int) -> Sequence[str]:
    target, meter = through(gateway, "echo"), Meter.of(gateway.program.pid)
    seconds = kind.deadline_s + AFTER_S
    job = target.job(concurrency=GOOD, seconds=seconds, pause_s=PAUSE_S)
    lab.load.round(target, target.job(concurrency=GOOD, seconds=0.5))
    alone, pressed, times, more_mib, failed = [], [], [], [], 0
    for _ in range(2):
        quiet = lab.load.round(target, job)
        before_kib = sum(meter.pss_kib().values())
        with _held(kind, port, seconds + 1) as (program, opened):
            more_mib.append((sum(meter.pss_kib().values()) - before_kib) / 1024)
            try:
                loud = lab.load.round(target, job)
            except RoundFailed as error:
                lab.note(f"{kind.name}: {str(error)[:200]}")
                loud = None
            ended = _said(program, Ended)
        alone.append(quiet.result.p99_s)
        if loud is not None:
            pressed.append(loud.result.p99_s)
            times.append(loud.result.p99_s / quiet.result.p99_s)
            failed += loud.result.failed + loud.result.wrong
    late_s = ended.last_s - kind.deadline_s if not ended.still_open else float("inf")
    for name, value in (("mib", max(more_mib)), ("late_s", late_s), ("times", median(times) if times else None)):
        lab.fact("connections" if kind.has_room else "connections_by_default", kind.name, name, value=value)
    return [
        kind.name,
        f"{opened.held:,}",
        f"{opened.turned_away:,}",
        f"{max(more_mib):.0f}",
        f"{kind.deadline_s:g}",
        f"{ended.first_s:.1f} to {ended.last_s:.1f}",
        f"{ended.still_open:,}",
        us(1e6 * median(alone)),
        us(1e6 * median(pressed)) if pressed else "refused",
        f"{median(times):.2f}" if times else "-",
        f"{failed:,}",
    ]


def _said(program: "subprocess.Popen[bytes]", kind: type[Said]) -> Said:
    assert program.stdout is not None
    return msgspec.json.decode(program.stdout.readline(), type=kind)


@contextlib.contextmanager
def _held(kind: _Kind, port: int, seconds: float) -> "Iterator[tuple[subprocess.Popen[bytes], Opened]]":
    program = subprocess.Popen(
        [sys.executable, "-m", "bench.holding"], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    try:
        assert program.stdin is not None
        holding = Holding(
            port=port,
            count=HELD,
            seconds=seconds,
            sources=list(kind.sources),
            start=kind.start.replace("PORT", str(port)),
            trickle=kind.trickle,
            answer=kind.answer,
        )
        program.stdin.write(msgspec.json.encode(holding) + b"\n")
        program.stdin.flush()
        yield program, _said(program, Opened)
    finally:
        program.kill()
        program.wait()
