"""What the filters cost: a call of 1 KB with all of them on, and the worst that 1 MiB could be made to."""

import time
import timeit
from collections.abc import Callable

from bench.filters.rates import plan_of
from mantlet.policies.filters.catalogue import NAMES
from mantlet.policies.filters.config import Budget
from mantlet.policies.filters.plan import Plan
from mantlet.policies.filters.verdict import judge
from mantlet.wire import jsonrpc

PROSE = (
    "The quarterly report shows that revenue grew by 12 percent, while costs were flat. Don't forget the appendix: it "
    "lists each region (north, south, east) with the figures of 2024 and 2025. We'd like a short summary for all; "
    "three paragraphs are enough. Use plain words, and say what changed since the last meeting on 14 March. "
)
CODE = (
    'def total(rows: list[Row], *, currency: str = "EUR") -> Decimal:\n    """Sum in one currency."""\n'
    "    return sum((row.amount * rates[row.currency] for row in rows if row.amount > 0), start=Decimal(0))\n\n"
    'for name, value in sorted(totals.items()):\n    print(f"{name:20} {value:>12.2f}")  # aligned\n'
)
MIB = 1_048_576

HOSTILE: dict[str, str] = {
    "ordinary prose": PROSE,
    "ordinary code": CODE,
    "single letters": "a ",
    "script": "<script ",
    "script handlers": " onaaaaaaaaaaaaaaaaaaaa=",
    "script events": '" onload=x',
    "tags": "<",
    "script urls": " j a v a s c r i p t ",
    "calls": " alert(",
    "sql quotes": "' or ",
    "sql logic": "' or a=b",
    "sql union": " union all ",
    "sql comments": "'/*a*/",
    "sql numbers": " 1 order by ",
    "shell": ";cat",
    "shell substitution": "$(",
    "shell backticks": "` cat ",
    "shell letters": "; a''a''a''",
    "headers": "%0d%0aaaaaaaaaaaaaa",
    "line ends": "\r\nset-cookie ",
    "null bytes": "%00",
    "percent": "%2525252525",
    "references": "&#x3c;",
    "escapes": "\\u003c",
    "secrets": "token=aaaaaaaaaaaaaaaa",
    "secret names": "secret_key_",
    "private keys": "-----BEGIN PRIVATE KEY-----",
    "jwt": "eyJaaaaaaaaaaa",
    "hex": "0123456789abcdef",
    "e-mail": "a.a.a@a.a.",
    "long e-mail": "a" * 60 + "@",
    "digits": "4111 1111 ",
    "phone": "+1 23 45 ",
    "iban": "DE44 5001 ",
    "injection": "ignore ",
    "injection long": "ignore all previous the your all any the ",
    "injection leak": "print the the the ",
    "injection character": "ai you are to act ",
    "key bodies": "-----BEGIN PRIVATE KEY-----\n" + "A" * 3_000,
    "windows": "for /f %a if exist geq ",
    "nul escapes": "\\x00",
    "hidden": "\u200b",
    "hidden bidi": "\u202ea",
    "full-width": "\uff49",
    "urls": "http://",
    "dots": "../",
    "backslashes": "\\",
    "spaces": " ",
    "newlines": "\n",
    "quotes": "'\"`",
    "everything": "<a onload=' or 1=1;cat %00 +49 token=aB3 ignore your \u200b",
}


def _cost(judged: Callable[[], object], number: int) -> float:
    judged()
    # Many short looks: the quietest one is the least disturbed by neighbours on the machine.
    few = max(1, number // 50)
    return min(timeit.repeat(judged, number=few, repeat=150 if number > 1 else 9, timer=time.thread_time)) / few


def one(params: object, plan: Plan, number: int, max_characters: int = 16_777_216) -> float:
    """Seconds for one message, from decoded params to a verdict."""
    body = jsonrpc.encode(params)
    return _cost(lambda: judge(params, plan, (None, "params"), body=body, max_characters=max_characters), number)


def call_of(text: str, size: int) -> dict[str, object]:
    """A call whose one text is `text` repeated."""
    return {"name": "tool", "arguments": {"text": (text * (size // len(text) + 1))[:size]}}


def table() -> str:
    """Costs in the units of the targets."""
    every, most = plan_of(NAMES), Budget().max_characters
    rows = ["\n### Cost\n", "| a call of 1 KB, all filters on | |", "|---|---:|"]
    for title, text in (("prose", PROSE), ("code", CODE)):
        rows.append(f"| {title} | {one(call_of(text, 1_024), every, 2_000) * 1e6:.0f} µs |")
    several = {"name": "tool", "arguments": {f"field_{n}": PROSE[n * 7 : n * 7 + 90] for n in range(10)}}
    rows.append(f"| prose in ten arguments | {one(several, every, 2_000) * 1e6:.0f} µs |")
    alone = one(call_of(PROSE, 1_024), plan_of(["prototype"]), 9_000)
    rows.append(f"| `prototype` alone (the default), prose | {alone * 1e6:.1f} µs |")
    rows += [
        f"\n| the ten worst of {len(HOSTILE)} texts, all filters on | 1 MiB | {most // 1024} KiB |",
        "|---|---:|---:|",
    ]
    worst = sorted(
        (
            (one(call_of(text, most - 1_024), every, 1), one(call_of(text, MIB), every, 1, most), title)
            for title, text in HOSTILE.items()
        ),
        reverse=True,
    )
    rows += [
        f"| {title} | {refused_s * 1e3:.1f} ms | {cost_s * 1e3:.0f} ms |" for cost_s, refused_s, title in worst[:10]
    ]
    return "\n".join(rows) + "\n"
