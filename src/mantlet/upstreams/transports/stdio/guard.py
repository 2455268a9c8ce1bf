"""What a program is held to, in the launcher's words: pure, but for the looks at where the program lies."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from mantlet.upstreams.transports.stdio.account import Account
from mantlet.upstreams.transports.stdio.config import StdioServerConfig

_OF_A_PREFIX: Final = ("bin", "lib", "lib64", "libexec", "share", "pyvenv.cfg")
"""What an installation is made of; the folder above them may be somebody's home."""


def guard(config: StdioServerConfig, account: Account | None, command: Sequence[str]) -> str:
    """The GUARD of `launcher.py`."""
    limits = [f"{name}={value}" for name, value in config.rlimits.named().items()]
    user = [] if account is None else [account.spelt]
    paths = []
    if config.paths is not None:
        readable = dict.fromkeys([*_places(command[0], config.cwd), *config.paths.read])
        paths = [f"READ={os.fsencode(path).hex()}" for path in readable]
        paths += [f"WRITE={os.fsencode(path).hex()}" for path in config.paths.write]
    return ",".join(["1" if config.sandbox == "auto" else "0", *limits, *user, f"UMASK={config.umask}", *paths])


def _places(program: str, cwd: str | None) -> Iterator[str]:
    """Where it runs, and its installation: by the name that was found, and where that leads."""
    yield str(Path(cwd or ".").absolute())
    for found in (Path(program), Path(program).resolve()):
        yield str(found)
        if found.parent.name == "bin":
            for name in _OF_A_PREFIX:
                if (part := found.parent.parent / name).exists():
                    yield str(part)
