import subprocess
import sys


def test_a_node_has_no_room_for_what_only_prints_tracebacks() -> None:
    """rich would take 4 MiB of each process; asked for by name it is there all the same."""
    program = (
        "import sys, mantlet.node.serve, mantlet.node.processes.worker\n"
        "assert 'rich' not in sys.modules and 'structlog' in sys.modules\n"
        "import rich\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_rich_that_is_there_already_stays() -> None:
    program = "import sys, rich\nimport mantlet.events.log\nassert sys.modules['rich'] is rich\n"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
