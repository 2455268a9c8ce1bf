"""What a node has grown by: memory, handles, tasks, read from outside every few seconds. The figures are pure."""

import os
import re
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.rig.gateway import Gateway
from bench.rig.meter import Meter

GAUGES = {
    "tasks": "mantlet_tasks",
    "connections": "mantlet_http_connections",
    "connections to servers": "mantlet_upstream_connections",
    "streams": "mantlet_streams_open",
    "calls at servers": "mantlet_calls_under_way",
}
HANDLES = ("file descriptors", "threads", *GAUGES)


@dataclass(frozen=True)
class Sample:
    """The node at one moment; `handles` by the names of `HANDLES`."""

    at_s: float
    pss_mib: float
    anon_mib: float
    """Of that, what belongs to no file: the rest changes with who else on the machine has the same libraries open."""
    cpu_s: float
    handles: dict[str, float]


def look(gateway: Gateway, meter: Meter, at_s: float) -> Sample:
    """Read the node as it is now."""
    handles: dict[str, float] = {
        "file descriptors": sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in meter.pids),  # noqa: PTH208
        "threads": sum(len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in meter.pids),
    }
    with urllib.request.urlopen(f"{gateway.admin_url}/metrics", timeout=30) as answer:
        text = answer.read().decode()
    for name, metric in GAUGES.items():
        handles[name] = sum(float(value) for value in re.findall(rf"^{metric}(?:{{.*}})? (\S+)$", text, re.MULTILINE))
    return Sample(
        at_s,
        sum(meter.pss_kib().values()) / 1024,
        sum(meter.pss_kib("Pss_Anon").values()) / 1024,
        meter.read_ns() / 1e9,
        handles,
    )


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Least squares: by how much the second figure grows when the first grows by one."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def settled(samples: Sequence[Sample]) -> Sequence[Sample]:
    """The last three quarters: caches and free lists fill in the first."""
    return samples[len(samples) // 4 :]


def per_hour(samples: Sequence[Sample], figure: str) -> float:
    """The slope of `pss_mib` or `anon_mib` in MiB/h."""
    return 3600 * slope([(sample.at_s, getattr(sample, figure)) for sample in settled(samples)])


def quarter(samples: Sequence[Sample], number: int, name: str) -> float:
    """The median of a handle's count in the first (1) to last (4) quarter."""
    size = max(1, len(samples) // 4)
    return median(sample.handles[name] for sample in samples[(number - 1) * size :][:size])
