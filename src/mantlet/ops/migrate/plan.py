"""What stands between a configuration and an environment, and the overlay that takes away what it can."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml

from mantlet.core.config_error import ConfigError
from mantlet.node.check.examine import Report, examine
from mantlet.node.config.problem import Problem
from mantlet.node.config.refusals import Reason
from mantlet.ops.migrate.fixes import Change, fix_of

HEAD: Final = """\
# Written by `mantlet migrate --to {environment}`. Give it after the files it was made from:
#   mantlet serve {files} -c {name} --set environment={environment}
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """`changes` are made by the overlay; `left` are for people, each with what to do about it."""

    environment: str
    files: tuple[str, ...]
    changes: tuple[tuple[Reason, Change], ...]
    left: tuple[Reason, ...]
    problems: tuple[Problem, ...]
    """What would not be understood in that environment: a variable that is not set, a file that is not there."""

    def overlay(self, name: str) -> str:
        """The file: the changes, and what is left as comments."""
        tree: dict[str, Any] = {}
        for _, (key, value) in self.changes:
            at = tree
            *way, last = key.split(".")
            for word in way:
                at = at.setdefault(word, {})
            at[last] = value
        files = " ".join(f"-c {file}" for file in self.files)
        text = HEAD.format(environment=self.environment, files=files, name=name)
        for reason in self.left:
            text += f"# TODO {_one_line(str(reason))}\n"
        return text + yaml.safe_dump({"environments": {self.environment: tree}}, sort_keys=False, allow_unicode=True)


def plan(files: Sequence[str], environ: Mapping[str, str], environment: str) -> Plan:
    """What must change before `files` start in `environment`. Raises `ConfigError` when they are not understood now.

    The overlay is not believed: the files are examined again with it, and what still stands is `left`.
    """
    if not files:
        raise ConfigError("--config", "names no file, and there is no mantlet.yaml here", "mantlet migrate -c FILE")
    settings = {"environment": environment}
    before = examine(files, environ, settings=settings)
    if before.loaded is None:
        now = examine(files, environ)
        if now.loaded is None:
            raise ConfigError(files[0], "is not understood", "mend what `mantlet check` says first")
        return Plan(environment, tuple(files), (), (), before.problems)
    config = before.loaded.config
    changes = tuple((reason, fix) for reason in before.judgement.refused if (fix := fix_of(reason, config)) is not None)
    draft = Plan(environment, tuple(files), changes, (), before.problems)
    after = _examined(draft, files, environ, settings)
    return Plan(environment, tuple(files), changes, after.judgement.refused, after.problems)


def _examined(draft: Plan, files: Sequence[str], environ: Mapping[str, str], settings: Mapping[str, str]) -> Report:
    with TemporaryDirectory(prefix="mantlet-") as folder:
        overlay = Path(folder) / "overlay.yaml"
        overlay.write_text(draft.overlay(overlay.name))
        return examine([*files, str(overlay)], environ, settings=settings)


def _one_line(text: str) -> str:
    return " ".join(text.split())
