"""`python locks/sbom.py`: a bill of materials in CycloneDX 1.6, from the lock files alone.

Asks nobody and reads nothing that is installed: what is locked is what is installed, by digest (`make sbom`). The same
locks give the same bytes, so that a bill can be compared with the one before.
"""

import base64
import json
import re
import sys
import tomllib
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
SPECIFICATION: Final = "1.6"
_ENTRY: Final = re.compile(r"^([\w.-]+)(?:\[[^\]]*\])?==([^\s;\\]+)(.*?)(?=^\w|\Z)", re.MULTILINE | re.DOTALL)
_ALGORITHMS: Final = {"sha512": "SHA-512", "sha384": "SHA-384", "sha256": "SHA-256", "sha1": "SHA-1"}
Component = dict[str, Any]


def python_components(lock: Path) -> Iterator[Component]:
    """Packages of a requirements file with digests: one for each file of a package, and the bill names all."""
    for name, version, rest in _ENTRY.findall(lock.read_text()):
        normal = re.sub(r"[-_.]+", "-", name).lower()
        purl = f"pkg:pypi/{normal}@{version}"
        hashes = [{"alg": "SHA-256", "content": digest} for digest in re.findall(r"--hash=sha256:([0-9a-f]{64})", rest)]
        yield _component(purl, normal, version, hashes)


def npm_components(lock: Path) -> Iterator[Component]:
    """Packages of a `package-lock.json`."""
    for where, entry in json.loads(lock.read_text())["packages"].items():
        if not where or entry.get("link") or "version" not in entry:
            continue
        name = entry.get("name") or where.rpartition("node_modules/")[2]
        algorithm, _, digest = entry.get("integrity", "").partition("-")
        hashes = [{"alg": _ALGORITHMS[algorithm], "content": base64.b64decode(digest).hex()}] if digest else []
        purl = f"pkg:npm/{name.replace('@', '%40', 1)}@{entry['version']}"
        component = _component(purl, name, entry["version"], hashes)
        if isinstance(entry.get("license"), str):
            component["licenses"] = [{"expression": entry["license"]}]
        yield component


def bill(locks: Iterable[Path], root: Path = ROOT) -> dict[str, Any]:
    """The bill of everything in `locks`; where a package stands in several, once, and said of each."""
    found: dict[str, Component] = {}
    for lock in locks:
        read = npm_components if lock.suffix == ".json" else python_components
        for component in read(lock):
            known = found.setdefault(component["bom-ref"], component)
            known["properties"].append({"name": "mantlet:lock", "value": lock.relative_to(root).as_posix()})
    components = [found[ref] for ref in sorted(found)]
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    own = _component(f"pkg:pypi/{project['name']}@{project['version']}", project["name"], project["version"], [])
    own = {**own, "type": "application"}
    # By what it says: the same locks have the same serial number.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps([own, components], sort_keys=True))
    return {
        "$schema": f"http://cyclonedx.org/schema/bom-{SPECIFICATION}.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": SPECIFICATION,
        "serialNumber": f"urn:uuid:{serial}",
        "version": 1,
        "metadata": {"component": own},
        "components": components,
    }


def locks_of(root: Path = ROOT) -> list[Path]:
    """Every lock file of the project."""
    return sorted([*root.glob("locks/*.lock"), *root.glob("examples/*/*.lock"), root / "locks/npm/package-lock.json"])


def _component(purl: str, name: str, version: str, hashes: list[dict[str, str]]) -> Component:
    component: Component = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if hashes:
        component["hashes"] = hashes
    return {**component, "properties": []}


if __name__ == "__main__":
    json.dump(bill(locks_of()), sys.stdout, indent=1, sort_keys=True)
    print()
