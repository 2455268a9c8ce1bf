"""Run the MCP conformance suite directly and through Mantlet, and compare check by check: `make conformance`.

Exit status 0: through Mantlet every check ends as it does directly, on both revisions, but for what a server behind by
stdio cannot do (`NOT_BY_STDIO`), what one of the newer era does not (`NOT_FROM_MODERN`), and what a WebSocket does not
carry (`NOT_OVER_WEBSOCKET`; the suite speaks HTTP only, so `over_websocket.py` stands between). 1: a difference. 2:
could not run.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rig import node
from bench.rig.gateway import config, http, start_gateway, stdio
from bench.rig.process import ROOT, NotStarted, free_port, running

HERE = Path(__file__).resolve().parent
REVISIONS = ("2025-11-25", "2026-07-28")
SERVER = "conformance"
BY_STDIO = "conformance-stdio"
BY_SESSION = "conformance-session"
MODERN = "conformance-modern"
"""The same server, taken for one that has never heard of a session."""
LEGACY = "conformance-legacy"
"""The same server, taken for one that knows nothing newer than sessions."""
SUITE_TIMEOUT_S = 300
COUNTED = ("SUCCESS", "FAILURE")
"""What the suite adds up; INFO, WARNING and SKIPPED are compared as well."""
NOT_BY_SESSION = frozenset(
    {
        # An answer by stdio is one message: there is nothing to poll for or to resume.
        "server-sse-multiple-streams",
        "server-sse-polling",
    }
)
NOT_BY_STDIO = NOT_BY_SESSION | frozenset(
    {
        # One child serves all callers: what it asks on its own could not be led to the one caller it concerns.
        "elicitation-sep1034-defaults",
        "elicitation-sep1330-enums",
        "tools-call-elicitation",
        "tools-call-sampling",
    }
)
"""Scenarios of 2025-11-25 that end otherwise when the server is a child of the node; of 2026-07-28 none does."""
NOT_FROM_MODERN = frozenset(
    {
        # It answers at once, with JSON; and streams that are closed in mid-call and resumed are of the older era only.
        "server-sse-multiple-streams",
        "server-sse-polling",
    }
)
"""Scenarios of 2025-11-25 that end otherwise when the server speaks 2026-07-28 only. None of them fails."""

NOT_FROM_LEGACY = frozenset(
    {
        # The key of each question is the server's word. An older server has none, so the node makes them up.
        "input-required-result-basic-elicitation",
        # It asks one thing after the other, as far as can be told from outside.
        "input-required-result-multiple-input-requests",
        # Answers that belong to no question, or to none any more, are refused: the server's call has moved on.
        "input-required-result-ignore-extra-params",
        "input-required-result-missing-input-response",
        # An error that says which capability is missing, and list changes, are what this server offers newer clients.
        "server-stateless",
    }
)
"""Scenarios of 2026-07-28 that end otherwise when the server speaks 2025-11-25 only."""
NOT_OVER_WEBSOCKET: Mapping[str, Collection[str]] = {
    # The node fetches what a server keeps of a stream that it closed early, so its client sees one whole answer.
    "2025-11-25": frozenset({"server-sse-polling"}),
    # A message has no headers of its own, so none can miss or say something else than the body.
    "2026-07-28": frozenset(
        {
            "http-custom-header-server-validation",
            "http-header-validation",
            "server-stateless/sep-2575-http-server-header-mismatch-400",
            "tasks-request-headers/tasks-headers-reject-mismatched-method",
        }
    ),
}
"""Scenarios, or single checks of one, about what HTTP has and a WebSocket has not."""
BETTER = frozenset({"tasks-dispatch-and-envelope"})
"""Task ids are bound to their caller, so an unknown one is refused as the specification says, whatever is behind."""

Checks = Mapping[str, Counter[tuple[str, str]]]
"""Scenario to how often each (check id, status) came."""


@dataclass(frozen=True)
class Run:
    """One run of the suite."""

    checks: Checks
    passed: int
    failed: int
    exit_status: int
    said: str


def suite(url: str, revision: str, out: Path, token: str = "") -> Run:
    """Run the requirements of `revision` against `url`."""
    command = [str(node.NODE), "--import", str(HERE / "token.mjs"), *node.binary("conformance")[1:]]
    done = subprocess.run(
        [*command, "server", "--url", url, "--requirements", revision, "-o", str(out)],
        env={**os.environ, **node.environment(), "MANTLET_TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=SUITE_TIMEOUT_S,
        check=False,
    )
    checks = read(out)
    statuses = Counter(status for counted in checks.values() for (_, status), n in counted.items() for _ in range(n))
    return Run(checks, statuses["SUCCESS"], statuses["FAILURE"], done.returncode, done.stdout)


def read(out: Path) -> Checks:
    """What the suite wrote: a folder for each scenario, named for it and the time."""
    found: dict[str, Counter[tuple[str, str]]] = {}
    for file in sorted(out.glob("*/checks.json")):
        scenario = re.sub(r"^server-|-\d{4}-\d\d-\d\dT[\d-]+Z$", "", file.parent.name)
        counted = found.setdefault(scenario, Counter())
        for check in json.loads(file.read_text()):
            counted[check["id"], check["status"]] += 1
    return found


def differences(direct: Checks, through: Checks) -> list[tuple[str, str, str, str]]:
    """(scenario, check, direct, through) wherever the two runs differ."""
    rows = []
    for scenario in sorted(direct.keys() | through.keys()):
        before, after = direct.get(scenario, Counter()), through.get(scenario, Counter())
        for check in sorted({check for check, _ in before | after}):
            if (was := _statuses(before, check)) != (now := _statuses(after, check)):
                rows.append((scenario, check, was, now))
    return rows


def _statuses(counted: Counter[tuple[str, str]], check: str) -> str:
    told = [f"{n} {status}" if n > 1 else status for (id_, status), n in sorted(counted.items()) if id_ == check]
    return ", ".join(told) or "not run"


def table(direct: Checks, through: Checks) -> str:
    """A line for each scenario: passed and failed, both ways."""
    lines = [f"  {'scenario':<52}{'direct':>10}{'Mantlet':>10}"]
    for scenario in sorted(direct.keys() | through.keys()):
        sides = []
        for run in (direct, through):
            counted = run.get(scenario, Counter())
            passed, failed = (sum(n for (_, s), n in counted.items() if s == wanted) for wanted in COUNTED)
            sides.append(f"{passed}/{passed + failed}" if counted else "-")
        mark = "" if direct.get(scenario) == through.get(scenario) else "   differs"
        lines.append(f"  {scenario:<52}{sides[0]:>10}{sides[1]:>10}{mark}")
    return "\n".join(lines)


def compare(revision: str, direct: Run, through: Run, *, verbose: bool) -> bool:
    """Print what came of one revision; True when both ways are the same."""
    changed = [row for row in differences(direct.checks, through.checks) if row[0] not in BETTER]
    print(f"\n{revision}")
    if verbose or changed:
        print(table(direct.checks, through.checks))
    for scenario, check, was, now in changed:
        print(f"  differs: {scenario} / {check}: direct {was}; through Mantlet {now}")
    print(f"  direct   {direct.passed} passed, {direct.failed} failed, exit {direct.exit_status}")
    print(f"  Mantlet  {through.passed} passed, {through.failed} failed, exit {through.exit_status}")
    if not direct.checks or not through.checks:
        print((direct if not direct.checks else through).said[-2000:])
        return False
    return not changed and direct.exit_status == through.exit_status == 0


def compare_other(how: str, direct: Run, other: Run, allowed: Collection[str]) -> bool:
    """The same with a server that is reached, or speaks, in another way; True when only what is `allowed` differs.

    `allowed` names scenarios, and checks as `scenario/check`.
    """
    changed = [row for row in differences(direct.checks, other.checks) if row[0] not in BETTER]
    unknown = [row for row in changed if row[0] not in allowed and f"{row[0]}/{row[1]}" not in allowed]
    for scenario, check, was, now in unknown:
        print(f"  differs: {scenario} / {check}: direct {was}; through Mantlet {how} {now}")
    known = len({row[0] for row in changed if row not in unknown})
    print(f"  {how} {other.passed} passed, {other.failed} failed; {known} scenarios differ as documented")
    return bool(other.checks) and not unknown


def report_direct(revision: str, run: Run, *, verbose: bool) -> bool:
    """Print a run without a gateway."""
    print(f"\n{revision}")
    if verbose:
        print(table(run.checks, run.checks))
    failing = sorted({s for s, counted in run.checks.items() for (_, status) in counted if status == "FAILURE"})
    print(f"  direct   {run.passed} passed, {run.failed} failed, exit {run.exit_status}; failing: {failing or 'none'}")
    return bool(run.checks) and run.exit_status == 0


def main() -> int:
    """Run both revisions; gives the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--direct-only", action="store_true", help="leave the gateway out: checks the server alone")
    parser.add_argument("--revision", choices=REVISIONS, action="append", help="only this one (default: both)")
    parser.add_argument("--keep", type=Path, help="write the suite's output and all logs here, and leave them")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of the gateway (default: 1)")
    parser.add_argument("-v", "--verbose", action="store_true", help="print every scenario, also when nothing differs")
    options = parser.parse_args()
    if why := node.missing():
        print(f"conformance cannot run: {why}")
        return 2
    with tempfile.TemporaryDirectory(prefix="conformance-") as scratch:
        folder: Path = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return _both(folder, options.revision or REVISIONS, options)
        except NotStarted as error:
            print(f"conformance cannot run: {error}")
            return 2


def _settings(url: str, workers: int, websocket_port: int, page: str) -> dict[str, Any]:
    child = stdio(BY_STDIO, sys.executable, str(HERE / "program"), "--stdio")
    children = {**child, "name": BY_SESSION, "isolation": "session", "max_children": 100}
    modern, legacy = {**http(MODERN, url), "era": "modern"}, {**http(LEGACY, url), "era": "legacy"}
    settings = config([http(SERVER, url), child, children, modern, legacy])
    settings["http"]["workers"] = workers
    settings["websocket"] = {"enabled": True, "host": "127.0.0.1", "port": websocket_port, "allowed_origins": [page]}
    # Otherwise refused here: what `tasks/*` act on is no object of any rule, so a rule must name the methods.
    rule = {"name": "tasks", "allow": {"scopes": ["mcp:read"], "servers": ["*"], "methods": ["tasks/*"]}}
    settings["authorization"]["rules"].append(rule)
    return settings


def _both(folder: Path, revisions: Sequence[str], options: argparse.Namespace) -> int:
    port = free_port()
    url = f"http://127.0.0.1:{port}/mcp"
    same = []
    with running([sys.executable, str(HERE / "program"), "--port", str(port)], port, folder / "server.log"):
        if options.direct_only:
            for revision in revisions:
                run = suite(url, revision, folder / f"direct-{revision}")
                same.append(report_direct(revision, run, verbose=options.verbose))
        else:
            door, translator = free_port(), free_port()
            to = [sys.executable, str(HERE / "over_websocket.py"), "--port", str(translator)]
            to += ["--to", f"ws://127.0.0.1:{door}/ws/{SERVER}"]
            with (
                start_gateway(
                    _settings(url, options.workers, door, f"http://127.0.0.1:{translator}"), folder / "node"
                ) as gateway,
                running(to, translator, folder / "translator.log"),
            ):
                for revision in revisions:
                    direct = suite(url, revision, folder / f"direct-{revision}")
                    through = suite(gateway.mcp(SERVER), revision, folder / f"through-{revision}", gateway.token)
                    same.append(compare(revision, direct, through, verbose=options.verbose))
                    over = f"http://127.0.0.1:{translator}/mcp"
                    carried = suite(over, revision, folder / f"websocket-{revision}", gateway.token)
                    same.append(compare_other("over WebSocket", direct, carried, NOT_OVER_WEBSOCKET[revision]))
                    by_stdio = suite(gateway.mcp(BY_STDIO), revision, folder / f"stdio-{revision}", gateway.token)
                    allowed = NOT_BY_STDIO if revision == "2025-11-25" else frozenset()
                    same.append(compare_other("by stdio", direct, by_stdio, allowed))
                    by_session = suite(gateway.mcp(BY_SESSION), revision, folder / f"session-{revision}", gateway.token)
                    allowed = NOT_BY_SESSION if revision == "2025-11-25" else frozenset()
                    same.append(compare_other("by stdio, one for each session", direct, by_session, allowed))
                    if revision == "2025-11-25":
                        crossed = suite(gateway.mcp(MODERN), revision, folder / f"modern-{revision}", gateway.token)
                        same.append(compare_other("to a modern server", direct, crossed, NOT_FROM_MODERN))
                        same.append(crossed.failed == 0)
                    else:
                        crossed = suite(gateway.mcp(LEGACY), revision, folder / f"legacy-{revision}", gateway.token)
                        same.append(compare_other("to a legacy server", direct, crossed, NOT_FROM_LEGACY))
    if options.direct_only:
        verdict = "the suite's required scenarios all pass" if all(same) else "required scenarios FAIL"
        print(f"\nconformance, direct only ({', '.join(revisions)}): {verdict}")
    else:
        verdict = "equal to direct" if all(same) else "NOT equal to direct"
        print(f"\nconformance through Mantlet ({', '.join(revisions)}): {verdict}")
    return 0 if all(same) else 1


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
