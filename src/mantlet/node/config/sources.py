"""Secrets that the configuration names instead of holding: read in, each where it is used (CFG-04)."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path as FilePath
from typing import Final

import msgspec

from mantlet.core.config_error import ConfigError
from mantlet.keys.secrets import keyring
from mantlet.keys.secrets.config import SecretsConfig, VaultConfig
from mantlet.keys.secrets.reference import Reference, reference_of
from mantlet.keys.secrets.vault import Vault
from mantlet.node.config import shape
from mantlet.node.config.conform import values_of
from mantlet.node.config.places import Findings, joined
from mantlet.node.config.problem import Path, Problem, dotted
from mantlet.node.config.secret_files import read_secret
from mantlet.node.config.shape import Annotation
from mantlet.node.config.tree import Node, is_switched_off

SECTION: Final = "secrets"


@dataclass(slots=True)
class Sources:
    """Where secrets are looked up in one load. `vault` is opened when the first is asked for."""

    environ: Mapping[str, str]
    findings: Findings
    vault: VaultConfig | None
    closing: ExitStack
    _opened: Vault | None = field(default=None)

    def read(self, reference: Reference) -> str:
        """The secret. Raises `ConfigError`, `OSError` or `ValueError` without it."""
        match reference.kind:
            case "env":
                if not (value := self.environ.get(reference.name)):
                    raise ValueError(f"the variable {reference.name} is not set")
                return value
            case "file":
                self.findings.files.append(reference.name)
                found = read_secret(FilePath(reference.name))
                if found.exposure:
                    raise ValueError(f"the file {reference.name} {found.exposure}")
                return found.text
            case "keyring":
                secret = keyring.read(reference.name, reference.key)
                if secret is None:
                    raise ValueError("nothing is kept there")
                return secret.reveal()
            case "vault":
                return self._vault().read(reference).reveal()

    def _vault(self) -> Vault:
        if self._opened is None:
            if self.vault is None:
                raise ValueError("secrets.vault says nothing of where the vault is")
            self._opened = self.closing.enter_context(Vault(self.vault))
        return self._opened


def with_sources(tree: Node, annotation: Annotation, environ: Mapping[str, str], findings: Findings) -> Node:
    """`tree` with every secret that is named by its place put there; those of the vault's own section first."""
    with ExitStack() as closing:
        sources = Sources(environ, findings, None, closing)
        section = tree.mapping.get(SECTION)
        if section is not None and section.mapping:
            section = _named(section, SecretsConfig, sources, (SECTION,))
            tree = replace(tree, value={**tree.mapping, SECTION: section})
            try:
                sources.vault = values_of(section, SecretsConfig).vault
            except msgspec.ValidationError:
                return tree  # told by the walk, with its place
        try:
            return _named(tree, annotation, sources, ())
        finally:
            _close(closing, findings)


def _close(closing: ExitStack, findings: Findings) -> None:
    try:
        closing.close()
    except ConfigError as error:
        findings.problems.append(Problem(str(error), "secrets.vault"))


def _named(node: Node, annotation: Annotation, sources: Sources, path: Path) -> Node:
    if isinstance(node.value, list) and (item := shape.item_of(annotation)) is not None:
        found = [_named(one, item, sources, (*path, index)) for index, one in enumerate(node.value)]
        return replace(node, value=found)
    if isinstance(node.value, str) and shape.is_secret(annotation):
        return _looked_up(node, sources, path)
    if not isinstance(node.value, dict) or is_switched_off(node, ("",)):
        return node
    members = dict(node.value)
    for section in shape.structs_in(annotation):
        for name, member in shape.members(section).items():
            if name in members:
                members[name] = _named(members[name], member.annotation, sources, (*path, name))
    return replace(node, value=members)


def _looked_up(node: Node, sources: Sources, path: Path) -> Node:
    try:
        reference = reference_of(str(node.value))
        if reference is None:
            return node
        if reference.kind == "file":
            reference = replace(reference, name=joined(node.origin, FilePath.cwd(), reference.name))
        return replace(node, value=sources.read(reference))
    except (ConfigError, ValueError) as error:
        said = str(error)
    except OSError as error:
        said = f"cannot be read: {error.strerror or type(error).__name__}"
    sources.findings.problems.append(Problem(said, dotted(path), node.origin))
    return replace(node, value=None)
