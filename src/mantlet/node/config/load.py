"""From files, variables and the command line to one `Config` whose every value knows where it came from.

Lowest first: defaults, files in their order, the overlay of the environment, environment variables, the command line.
Everything that is wrong is told at once where that is possible: a file that cannot be parsed hides what is in it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Final

import msgspec

from mantlet.core.clock import SYSTEM
from mantlet.node.config.coerce import coerced
from mantlet.node.config.conform import Walk, values_of
from mantlet.node.config.environ import Layer, layer_of, overrides_of
from mantlet.node.config.foreign import adopted
from mantlet.node.config.inter_agent import applied
from mantlet.node.config.model import ENVIRONMENTS, Config, Environment
from mantlet.node.config.places import Findings, absolute, defaults, look_for, with_secrets
from mantlet.node.config.problem import DEFAULT, ConfigErrors, Origin, Problem, dotted, nearest
from mantlet.node.config.rotated import with_previous
from mantlet.node.config.sources import with_sources
from mantlet.node.config.text import read_file, read_yaml
from mantlet.node.config.tree import EMPTY, Node, at, mapped, merged, with_value, without
from mantlet.node.config.variables import expanded

OVERLAYS: Final = "environments"
DEFAULT_FILES: Final = ("mantlet.yaml", "mantlet.yml", "mantlet.toml")
"""Looked for in the working directory when no file is named."""
PROGRAM: Final = "<the program>"
"""Where a value stands that came in no file."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration that was understood. `tree` is what was written, with origins; it holds secrets in clear and
    is not for showing (see `effective`). `exposed` are secret files that others can read."""

    config: Config = field(repr=False)  # urls and environments in it may hold passwords
    tree: Node = field(repr=False)
    files: tuple[str, ...] = ()
    exposed: tuple[Problem, ...] = ()
    named: tuple[str, ...] = ()
    """Files that the configuration names (secrets, certificates): when one changes, so does the configuration."""


def load(
    files: Sequence[str],
    environ: Mapping[str, str],
    *,
    settings: Mapping[str, str] | None = None,
    given: Mapping[str, Any] | None = None,
) -> Loaded:
    """Read and understand a configuration. Raises `ConfigErrors` with everything that is wrong.

    `settings` come from the command line, by dotted key; `given` from a program, over what stands in files. Reads
    `files` and the secret files they name, nothing else.
    """
    problems: list[Problem] = []
    written = _read(files, problems)
    if given is not None:
        written = merged(written, adopted(read_yaml(json.dumps(given), PROGRAM), problems))
    layer = layer_of(environ, Config, problems) + overrides_of(settings or {}, Config, problems)
    environment = _environment(written, layer, environ)
    tree = _overlaid(written, environment, environ, problems)
    tree = adopted(_with_layer(tree, layer, problems), problems)
    tree = coerced(tree, Config)

    folder = FilePath(files[0]).absolute().parent if files else FilePath.cwd()
    findings = Findings()
    tree = absolute(merged(defaults(Config()), tree), folder)
    tree = with_previous(tree, SYSTEM.wall())
    tree = with_sources(with_secrets(tree, Config, findings), Config, environ, findings)
    look_for(tree, findings)
    walk = Walk()
    walk.check(tree, Config)
    problems += [*walk.problems, *_other_overlays(written, environment), *findings.problems]
    if problems:
        raise ConfigErrors(_once(problems))
    try:
        config: Config = values_of(tree, Config)
    except msgspec.ValidationError as error:  # the walk has missed it; still said with its place, as far as known
        raise ConfigErrors([Problem(str(error))]) from error
    config = _everywhere(config)
    return Loaded(config, tree, tuple(files), tuple(findings.exposed), tuple(dict.fromkeys(findings.files)))


def _everywhere(config: Config) -> Config:
    """What `inter_agent` says, at each server: whoever opens one need not know of it."""
    mcp = msgspec.structs.replace(config.mcp, servers=applied(config.inter_agent, config.mcp.servers))
    services = applied(config.inter_agent, config.http_upstreams)
    return msgspec.structs.replace(config, mcp=mcp, http_upstreams=services)


def default_files() -> list[str]:
    """The configuration in the working directory, if there is one."""
    return [name for name in DEFAULT_FILES if FilePath(name).is_file()][:1]


def _read(files: Sequence[str], problems: list[Problem]) -> Node:
    tree = EMPTY
    for file in files:
        try:
            tree = merged(tree, adopted(read_file(file), problems))
        except ConfigErrors as error:
            problems += error.problems
    return tree


def _environment(written: Node, layer: Layer, environ: Mapping[str, str]) -> Environment:
    node = Node("production", DEFAULT)
    if "environment" in written.mapping:
        node = expanded(written.mapping["environment"], environ, [])
    for path, value in layer:
        if path == ("environment",):
            node = value
    for name in ENVIRONMENTS:
        if node.value == name:
            return name
    # An unknown one is told by the walk; until it is mended everything is held to the strictest.
    return "production"


def _overlaid(written: Node, environment: Environment, environ: Mapping[str, str], problems: list[Problem]) -> Node:
    base = expanded(without(written, OVERLAYS), environ, problems)
    overlays = written.mapping.get(OVERLAYS, EMPTY)
    overlay = overlays.mapping.get(environment)
    if overlay is None or overlay.value is None:
        return base
    for key in ("environment", OVERLAYS):
        if key in overlay.mapping:
            problems.append(Problem("cannot stand in an overlay", dotted((OVERLAYS, environment, key)),
                                    overlay.keys[key]))  # fmt: skip
    if not isinstance(overlay.value, dict):
        return base  # told by `_other_overlays`
    marked = _marked(without(without(overlay, "environment"), OVERLAYS))
    return merged(base, adopted(expanded(marked, environ, problems), problems))


def _marked(node: Node) -> Node:
    def mark(leaf: Node, _path: object) -> Node:
        return Node(leaf.value, Origin("overlay", leaf.origin.where, leaf.origin.line))

    return mapped(node, mark)


def _other_overlays(written: Node, environment: Environment) -> list[Problem]:
    """A misspelt key is as wrong in the overlay of an environment that is not this one."""
    overlays = written.mapping.get(OVERLAYS, EMPTY)
    if not isinstance(overlays.value, dict | None):
        return [Problem("must be a mapping of overlays by environment", OVERLAYS, overlays.origin)]
    walk = Walk(keys_only=True)
    for name, overlay in overlays.mapping.items():
        path = (OVERLAYS, name)
        if name not in ENVIRONMENTS:
            origin = overlays.keys.get(name, overlay.origin)
            allowed, near = ", ".join(ENVIRONMENTS), nearest(name, ENVIRONMENTS)
            walk.problems.append(Problem("unknown environment", dotted(path), origin, "", allowed, near))
        elif not isinstance(overlay.value, dict | None):
            walk.problems.append(Problem("must be a mapping", dotted(path), overlay.origin))
        elif name != environment:
            walk.check(adopted(overlay, []), Config, path)
    return walk.problems


def _with_layer(tree: Node, layer: Layer, problems: list[Problem]) -> Node:
    for path, node in layer:
        try:
            tree = with_value(tree, path, node)
        except IndexError:
            listed = at(tree, path[: next(i for i, part in enumerate(path) if isinstance(part, int))])
            count = len(listed.value) if listed and isinstance(listed.value, list) else 0
            problems.append(Problem(f"the list has {count} entries", dotted(path), node.origin))
    return tree


def _once(problems: list[Problem]) -> list[Problem]:
    """One problem a place: a variable that is not set must not be told again as a value that is missing."""
    first: dict[tuple[str, Origin], Problem] = {}
    for problem in problems:
        first.setdefault((problem.key, problem.origin) if problem.key else (str(problem), problem.origin), problem)
    return list(first.values())
