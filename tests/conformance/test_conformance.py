"""The suite as a test; `make conformance` prints the tables."""

import subprocess
import sys
from collections import Counter
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
from bench.rig import node
from bench.rig.process import ROOT

RUN = Path(__file__).with_name("run.py")


def _module() -> Any:
    spec = spec_from_file_location("conformance_run", RUN)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_check_that_ends_otherwise_or_is_missing_is_a_difference() -> None:
    run = _module()
    direct = {"a": Counter({("x", "SUCCESS"): 2, ("y", "FAILURE"): 1}), "b": Counter({("z", "SUCCESS"): 1})}
    through = {"a": Counter({("x", "SUCCESS"): 1, ("x", "FAILURE"): 1, ("y", "FAILURE"): 1})}
    assert run.differences(direct, direct) == []
    assert run.differences(direct, through) == [
        ("a", "x", "2 SUCCESS", "FAILURE, SUCCESS"),
        ("b", "z", "SUCCESS", "not run"),
    ]


@pytest.mark.parametrize(
    ("allowed", "is_same"), [([], False), (["a"], True), (["a/x"], True), (["a/y"], False), (["b"], False)]
)
def test_what_may_differ_is_a_scenario_or_one_check_of_it(allowed: list[str], is_same: bool) -> None:
    run = _module()
    direct = run.Run({"a": Counter({("x", "SUCCESS"): 1, ("y", "SUCCESS"): 1})}, 2, 0, 0, "")
    other = run.Run({"a": Counter({("x", "FAILURE"): 1, ("y", "SUCCESS"): 1})}, 1, 1, 1, "")
    assert run.compare_other("over nothing", direct, other, allowed) is is_same


@pytest.mark.slow
@pytest.mark.node
@pytest.mark.timeout(900)  # each way through is the whole suite once more
@pytest.mark.parametrize(
    "arguments", [["--direct-only"], [], ["--workers=2"]], ids=["direct", "through-mantlet", "2-workers"]
)
def test_the_suite_passes(arguments: list[str]) -> None:
    if why := node.missing():
        pytest.skip(why)
    done = subprocess.run([sys.executable, str(RUN), *arguments], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
