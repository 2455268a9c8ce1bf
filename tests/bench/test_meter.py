import os
import subprocess
import sys
from pathlib import Path

import pytest
from bench.rig.meter import Meter, cpu_ns, named, tree
from bench.rig.process import NotStarted, Program, free_port

pytestmark = pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="needs Linux's /proc")


def test_a_meter_counts_children_and_spares_those_told_apart() -> None:
    code = "import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, "told-apart"], stdin=subprocess.PIPE) as child:
        assert child.pid in tree(os.getpid())
        assert named("told-apart", os.getpid()) == (child.pid,)
        assert child.pid in Meter.of(os.getpid()).pids
        assert child.pid not in Meter.of(os.getpid(), without=(child.pid,)).pids
        assert Meter.of(os.getpid()).pss_kib()[os.getpid()] > 0


def test_a_process_that_is_gone_costs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        pass
    assert cpu_ns(child.pid) == 0


def test_a_program_that_ends_before_it_listens_says_its_last_words(tmp_path: Path) -> None:
    program = Program([sys.executable, "-c", "raise SystemExit('last words')"], tmp_path / "log")
    with pytest.raises(NotStarted, match="last words"):
        program.wait_listening(free_port())
    assert program.stop() == 1
