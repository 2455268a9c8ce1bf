"""What a secret's place in the config may say instead of the secret: where it is.

env:NAME                      a variable of the environment
file:PATH                     an owner-only file
keyring:SERVICE/NAME          the system's keyring
vault://MOUNT/PATH#KEY        a member of a secret in Vault (KV version 2)
"""

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["env", "file", "keyring", "vault"]

_PREFIXES: Final[tuple[tuple[str, Kind], ...]] = (
    ("env:", "env"),
    ("file:", "file"),
    ("keyring:", "keyring"),
    ("vault://", "vault"),
)
_NOT_OFFERED: Final = ("aws:", "awssm:", "arn:aws:", "gcp:", "azure:")


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a secret is. `name` is the place in words of its kind, `key` a member of what is there."""

    kind: Kind
    name: str
    key: str = ""

    def __str__(self) -> str:
        joint = "://" if self.kind == "vault" else ":"
        return f"{self.kind}{joint}{self.name}" + (f"#{self.key}" if self.key else "")


def reference_of(text: str) -> Reference | None:
    """The place that `text` names; None when it is a secret itself. Raises `ValueError` for a place that is none."""
    if text.startswith(_NOT_OFFERED):
        raise ValueError("names a secrets manager that this version does not read; use vault://, keyring: or a file")
    for prefix, kind in _PREFIXES:
        if text.startswith(prefix):
            return _read(kind, text.removeprefix(prefix))
    return None


def _read(kind: Kind, rest: str) -> Reference:
    if kind == "vault":
        name, _, key = rest.partition("#")
        parts = name.split("/")
        if len(parts) < 2 or not all(parts) or {".", ".."} & set(parts) or any(c in name for c in "?%\\ "):
            raise ValueError("is no place in a vault; vault://MOUNT/PATH#KEY")
        return Reference(kind, name, key or "value")
    if kind == "keyring":
        service, slash, name = rest.partition("/")
        if not (service and slash and name):
            raise ValueError("is no place in a keyring; keyring:SERVICE/NAME")
        return Reference(kind, service, name)
    if not rest:
        raise ValueError(f"names nothing; {kind}:NAME")
    return Reference(kind, rest)
