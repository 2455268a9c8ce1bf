"""`${VAR}` and `${VAR:-default}` inside values of files.

`$${` stands for a bare `${`. Where VAR is not set but VAR_FILE is, the file's content is meant: so do container
images everywhere. Variables expand once: what a variable holds is never expanded again.
"""

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path as FilePath
from typing import Final

from mantlet.node.config.problem import Path, Problem, dotted
from mantlet.node.config.secret_files import read_secret
from mantlet.node.config.tree import Node, is_switched_off, mapped

_VARIABLE: Final = re.compile(r"\$(?P<escape>\$(?=\{))|\$\{(?P<name>[A-Za-z_]\w*)(?::-(?P<default>[^}]*))?\}")
_BROKEN: Final = re.compile(r"(?<!\$)\$\{")


def expanded(tree: Node, environ: Mapping[str, str], problems: list[Problem]) -> Node:
    """`tree` with all variables in place; those that are not set are noted in `problems`.

    In a section that is switched off nothing needs to be set. A text that is one variable alone takes the type of its
    place, so that `port: ${PORT}` can be a number.
    """

    found_problems: list[tuple[Path, Problem]] = []

    def expand(node: Node, path: Path) -> Node:
        if not isinstance(node.value, str) or "$" not in node.value:
            return node
        missing: list[str] = []

        def put(found: re.Match[str]) -> str:
            if found["escape"]:
                return "$"
            value = variable(found["name"], environ)
            if value is None:
                value = found["default"]
            if value is None:
                missing.append(found["name"])
            return value or ""

        # The check for a broken `${` looks at what was written, not at what a variable holds.
        rest = _VARIABLE.sub("", node.value)
        if _BROKEN.search(rest):
            message = "has a `${` that names no variable; write `$${` for the characters"
            found_problems.append((path, Problem(message, dotted(path), node.origin)))
            return node
        text = _VARIABLE.sub(put, node.value)
        for name in missing:
            message = f"the variable {name} is not set, and has no default (`${{{name}:-…}}`)"
            found_problems.append((path, Problem(message, dotted(path), node.origin)))
        alone = _VARIABLE.fullmatch(node.value)
        return replace(node, value=text, is_text=bool(alone and not alone["escape"]))

    result = mapped(tree, expand)
    problems += [problem for path, problem in found_problems if not is_switched_off(result, path)]
    return result


def variable(name: str, environ: Mapping[str, str]) -> str | None:
    """The value of a variable, or of the file that `<name>_FILE` names; None when neither is set (or is empty)."""
    if value := environ.get(name):
        return value
    if file := environ.get(f"{name}_FILE"):
        return read_secret(FilePath(file)).text
    return None
