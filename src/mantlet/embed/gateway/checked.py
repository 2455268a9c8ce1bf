"""A program's configuration, held to what a node's own is held to."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from mantlet.core.config_error import ConfigError
from mantlet.events.log import into_standard_library
from mantlet.node.check.examine import Report, examine
from mantlet.node.config.model import Config


def checked(config: str | Path | Mapping[str, Any]) -> Config:
    """`config` as a file's path or a mapping. Raises `ConfigError` for one that is not understood, or that its
    environment refuses."""
    if isinstance(config, Mapping):
        report = examine([], os.environ, given=config)
    else:
        report = examine([str(config)], os.environ)
    if report.exit_code or report.loaded is None:
        raise ConfigError(str(config) if isinstance(config, str | Path) else "config", _said(report))
    into_standard_library()
    # The program's own server listens, where only it and `agent.url` know.
    found = report.loaded.config
    return msgspec.structs.replace(found, http=msgspec.structs.replace(found.http, enabled=False))


def _said(report: Report) -> str:
    problems = [str(problem) for problem in report.problems]
    return "; ".join(problems + [f"{reason.key}: {reason.message}" for reason in report.judgement.refused])
