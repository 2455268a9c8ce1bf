"""What is installed is what was looked at: every dependency by its digest, and none that is known to be broken."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted([*ROOT.glob("locks/*.lock"), *ROOT.glob("examples/*/*.lock")])
FLOORS = {"starlette": (1, 0, 1), "h11": (0, 16), "pyjwt": (2, 12), "mcp": (1, 28, 1)}
"""The first releases without CVE-2026-48710, -2025-43859, -2026-32597, and -2026-59950 in this order."""


def entries(lock: Path) -> list[tuple[str, str, str]]:
    """Name, version, and what stands below, for each package; one can stand there twice, for two Pythons."""
    return re.findall(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(.*?)(?=^\w|\Z)", lock.read_text(), re.M | re.S)


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_every_dependency_has_its_digests(lock: Path) -> None:
    """CFG-06"""
    named = [line for line in lock.read_text().splitlines() if re.match(r"[A-Za-z0-9]", line)]
    assert named
    assert len(entries(lock)) == len(named), "something is not pinned to one version"
    assert [name for name, _, rest in entries(lock) if "--hash=sha256:" not in rest] == []


@pytest.mark.parametrize("lock", LOCKS, ids=lambda path: path.stem)
def test_no_dependency_is_older_than_its_mended_release(lock: Path) -> None:
    """CFG-06"""
    for name, version, _ in entries(lock):
        if name in FLOORS:
            assert tuple(int(part) for part in re.findall(r"\d+", version)[:3]) >= FLOORS[name], f"{name} {version}"


def test_installing_asks_for_the_digests() -> None:
    """CFG-06"""
    lines = re.findall(r"install .*-r \S+\.lock", (ROOT / "Makefile").read_text())
    assert lines
    assert all("--require-hashes" in line for line in lines)
