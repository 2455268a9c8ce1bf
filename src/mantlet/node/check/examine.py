"""`check`: would this configuration start here? 0 yes; 1 understood but refused, every reason; 2 not understood."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mantlet.core.clock import SYSTEM
from mantlet.core.config_error import ConfigError
from mantlet.node.check.doubts import doubts
from mantlet.node.config.effective import Line, effective, origin_at, plain
from mantlet.node.config.load import Loaded, load
from mantlet.node.config.problem import ConfigErrors, Problem, dotted, nearest, shown
from mantlet.node.config.refusals import RISKS, Judgement, Reason, judge

WOULD_START: Final = 0
REFUSED: Final = 1
NOT_UNDERSTOOD: Final = 2


@dataclass(frozen=True, slots=True)
class Report:
    """What came of looking at a configuration. `loaded` is absent when it could not be typed."""

    files: tuple[str, ...]
    problems: tuple[Problem, ...] = ()
    loaded: Loaded | None = None
    judgement: Judgement = Judgement((), (), ())
    doubts: tuple[Problem, ...] = ()

    @property
    def exit_code(self) -> int:
        """0, 1 or 2, as the module says."""
        if self.loaded is None or self.problems:
            return NOT_UNDERSTOOD
        return REFUSED if self.judgement.refused else WOULD_START

    @property
    def lines(self) -> list[Line]:
        """The effective configuration, masked."""
        return effective(self.loaded) if self.loaded else []

    @property
    def inert(self) -> list[str]:
        """The keys that are set and have no effect in this version, whatever the environment makes of it."""
        judgement = self.judgement
        reasons = (*judgement.refused, *judgement.accepted, *judgement.elsewhere)
        return [reason.key for reason in reasons if reason.risk == "not_enforced"]

    def as_json(self) -> dict[str, Any]:
        """The report for machines."""
        return {
            "result": ("would_start", "refused", "not_understood")[self.exit_code],
            "exit_code": self.exit_code,
            "files": list(self.files),
            "environment": self.loaded.config.environment if self.loaded else None,
            "problems": [_problem(problem) for problem in self.problems],
            "warnings": [_problem(problem) for problem in self.doubts],
            "refused": [_reason(reason) for reason in self.judgement.refused],
            "accepted": [_reason(reason) for reason in self.judgement.accepted],
            "refused_in_production": [_reason(reason) for reason in self.judgement.elsewhere],
            "not_acted_on": self.inert,
            "config": [
                {"key": line.key, "value": plain(line.value), "origin": str(line.origin)} for line in self.lines
            ],
        }


def examine(
    files: Sequence[str],
    environ: Mapping[str, str],
    *,
    settings: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Report:
    """Load and judge; never raises for what is wrong with the configuration, and opens no port."""
    try:
        loaded = load(files, environ, settings=settings, given=given)
    except ConfigErrors as error:
        return Report(tuple(files), error.problems)
    except ConfigError as error:
        return Report(tuple(files), (Problem(error.what, error.where, allowed=error.hint),))
    if unknown := _unknown_risks(loaded):
        return Report(tuple(files), unknown)
    judgement = judge(loaded.config, loaded.exposed)
    if judgement.refused:
        # What is refused must be mended first; its parts would only say the same again in other words.
        return Report(tuple(files), (), loaded, judgement)
    from mantlet.node.check.rehearsal import rehearse

    problems = tuple(rehearse(loaded.config))
    doubtful = () if problems else tuple(doubts(loaded.config, SYSTEM.wall()))
    return Report(tuple(files), problems, loaded, judgement, doubtful)


def _unknown_risks(loaded: Loaded) -> tuple[Problem, ...]:
    acceptable = ", ".join(name for name, risk in RISKS.items() if risk.is_acceptable)
    problems: list[Problem] = []
    for index, name in enumerate(loaded.config.accept_risks):
        if name not in RISKS:
            path = ("accept_risks", index)
            origin = origin_at(loaded.tree, path)
            problem = Problem("unknown risk", dotted(path), origin, shown(name), acceptable, nearest(name, RISKS))
            problems.append(problem)
    return tuple(problems)


def _problem(problem: Problem) -> dict[str, Any]:
    return {
        "key": problem.key,
        "message": problem.message,
        "file": problem.origin.where or None,
        "line": problem.origin.line or None,
        "origin": str(problem.origin),
        "found": problem.found or None,
        "allowed": problem.allowed or None,
        "nearest": problem.nearest or None,
    }


def _reason(reason: Reason) -> dict[str, Any]:
    return {"risk": reason.risk, "key": reason.key, "message": reason.message, "fix": reason.fix,
            "is_acceptable": reason.is_acceptable}  # fmt: skip
