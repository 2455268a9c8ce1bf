"""What is installed is what was looked at: every dependency by its digest, and none that is known to be broken."""

import json
import re
import runpy
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


BILL = runpy.run_path(str(ROOT / "locks" / "sbom.py"))


def test_the_bill_of_materials_names_all_that_is_locked() -> None:
    """CFG-06: each package of each lock once, with its digests, and the same bytes for the same locks."""
    bill = BILL["bill"](BILL["locks_of"]())
    assert (bill["bomFormat"], bill["specVersion"]) == ("CycloneDX", "1.6")
    refs = [component["bom-ref"] for component in bill["components"]]
    assert len(set(refs)) == len(refs)
    for lock in LOCKS:
        for name, version, _ in entries(lock):
            assert f"pkg:pypi/{re.sub('[-_.]+', '-', name).lower()}@{version}" in refs
    packages = json.loads((ROOT / "locks/npm/package-lock.json").read_text())["packages"]
    assert sum(ref.startswith("pkg:npm/") for ref in refs) <= len(packages) - 1
    assert sum(ref.startswith("pkg:npm/") for ref in refs) > 100
    assert [c["name"] for c in bill["components"] if not c.get("hashes")] == []
    assert all(c["purl"] == c["bom-ref"] and c["properties"] for c in bill["components"])
    assert bill == BILL["bill"](BILL["locks_of"]())
    assert bill["serialNumber"].startswith("urn:uuid:")


def test_a_bill_does_not_depend_on_what_is_installed(tmp_path: Path) -> None:
    """CFG-06"""
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\nversion = "1"\n')
    lock = tmp_path / "a.lock"
    lock.write_text("Foo_Bar[extra]==1.2 ; python_version > '3' \\\n    --hash=sha256:" + "ab" * 32 + "\n    # via x\n")
    (component,) = BILL["bill"]([lock], tmp_path)["components"]
    assert component["purl"] == "pkg:pypi/foo-bar@1.2"
    assert component["hashes"] == [{"alg": "SHA-256", "content": "ab" * 32}]
    assert component["properties"] == [{"name": "mantlet:lock", "value": "a.lock"}]
