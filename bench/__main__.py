"""`python -m bench`: measure direct against through Mantlet and against others, in one interleaved run."""

import argparse
import contextlib
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from bench import report
from bench.experiments import ASKED_FOR, EXPERIMENTS
from bench.lab import FULL, QUICK, Lab
from bench.rig.process import ROOT, NotStarted
from bench.rivals import RIVALS
from bench.rounds import LoadGenerator, RoundFailed
from bench.targets import judge


def _against(text: str) -> tuple[str, str]:
    name, _, url = text.partition("=")
    if not url.startswith("http://"):
        raise argparse.ArgumentTypeError("NAME=http://HOST:PORT/PATH (a token: http://:TOKEN@HOST:PORT/PATH)")
    return name, url


def _rival(text: str) -> tuple[str, Path]:
    name, _, program = text.partition("=")
    if name not in RIVALS or not program:
        raise argparse.ArgumentTypeError(f"NAME=PROGRAM, with a NAME of {', '.join(RIVALS)}")
    return name, Path(program).absolute()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--full", action="store_true", help="longer rounds, more of them, a million checked calls")
    parser.add_argument("--only", choices=list(EXPERIMENTS), action="append", help="this experiment (may be repeated)")
    parser.add_argument(
        "--rows", action="append", default=[], metavar="TEXT",
        help="only the rows of `connections` and `growth` whose names contain this (may be repeated)",
    )  # fmt: skip
    parser.add_argument(
        "--against",
        type=_against,
        action="append",
        default=[],
        metavar="NAME=URL",
        help="another gateway, before a server with a tool `echo`",
    )
    parser.add_argument(
        "--rival",
        type=_rival,
        action="append",
        default=[],
        metavar="NAME=PROGRAM",
        help=f"start this gateway too, installed where you like ({', '.join(RIVALS)}); for the experiment `rivals`",
    )
    parser.add_argument("--rounds", type=int, help="rounds for each target")
    parser.add_argument("--seconds", type=float, help="length of a round")
    parser.add_argument("--checked-calls", type=int, metavar="N", help="how many calls `correctness` makes")
    parser.add_argument(
        "--asgi-python",
        default=sys.executable,
        metavar="PATH",
        help="a Python with uvicorn, uvloop, httptools and aiohttp, for that yardstick",
    )
    parser.add_argument("--without-gateway", action="store_true", help="the yardsticks alone")
    parser.add_argument("--write-docs", action="store_true", help="put the tables into docs/performance.md")
    parser.add_argument("--keep", action="store_true", help="leave configs and logs of all programs in bench/out")
    return parser.parse_args()


def main() -> int:
    """Run the experiments asked for; 1 when an answer was wrong or a call failed."""
    options = _options()
    scale = FULL if options.full else QUICK
    asked = {"rounds": options.rounds, "seconds": options.seconds, "checked_calls": options.checked_calls}
    scale = replace(scale, **{name: value for name, value in asked.items() if value is not None})
    report.OUT.mkdir(parents=True, exist_ok=True)
    # Beside the reports and not in a temporary folder: that may be memory, and an fsync there measures nothing.
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=report.OUT))
    tables = []
    try:
        with LoadGenerator() as load, contextlib.ExitStack() as stack:
            lab = Lab(
                folder=folder,
                scale=scale,
                load=load,
                stack=stack,
                against=options.against,
                rivals=options.rival,
                asgi_python=options.asgi_python,
                with_gateway=not options.without_gateway,
                rows=options.rows,
            )
            for name in options.only or [name for name in EXPERIMENTS if options.full or name not in ASKED_FOR]:
                started_s = time.monotonic()
                lab.progress(name)
                try:
                    found = EXPERIMENTS[name](lab)
                except (RoundFailed, NotStarted) as error:
                    lab.note(f"{name} ended early: {str(error).strip().splitlines()[-1][:300]}")
                    continue
                print(f"-- {name}, {time.monotonic() - started_s:.0f} s", flush=True)
                for table in found:
                    print(report.text(table), flush=True)
                tables += found
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)
    command = " ".join(["python -m bench", *sys.argv[1:]]).replace(options.asgi_python, "PATH")
    for _, program in options.rival:
        command = command.replace(str(program.parent), "PATH")
    print(report.verdicts(judge(lab.facts)))
    for note in lab.notes:
        print(f"note: {note}")
    print(f"written: {report.write_json(lab, tables, command).relative_to(ROOT)}")
    if options.write_docs:
        report.write_docs(report.whole(lab, tables, command))
        print(f"written: {report.DOCS.relative_to(ROOT)}")
    return 1 if lab.answers["wrong"] or lab.answers["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
