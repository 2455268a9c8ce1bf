"""What is measured. Each experiment gives tables and leaves its figures in the lab's facts."""

from collections.abc import Callable, Mapping

from bench.experiments.bounds import correctness, footprint, overload
from bench.experiments.caching import caching
from bench.experiments.connections import connections
from bench.experiments.crossing import bridge, doors, first_byte, idle
from bench.experiments.flooding import floods
from bench.experiments.growth import growth
from bench.experiments.others import rivals
from bench.experiments.resilience import resilience
from bench.experiments.services import services
from bench.experiments.switches import audit, policies
from bench.experiments.traffic import calls, lists, real_server, stdio_upstream
from bench.lab import Lab, Table

EXPERIMENTS: Mapping[str, Callable[[Lab], list[Table]]] = {
    "calls": calls,
    "real-server": real_server,
    "policies": policies,
    "audit": audit,
    "lists": lists,
    "cache": caching,
    "resilience": resilience,
    "stdio": stdio_upstream,
    "bridge": bridge,
    "doors": doors,
    "services": services,
    "first-byte": first_byte,
    "idle": idle,
    "rivals": rivals,
    "growth": growth,
    "connections": connections,
    "overload": overload,
    "flood": floods,
    "footprint": footprint,
    "correctness": correctness,  # last: it also adds up what the others checked
}

ASKED_FOR = frozenset({"growth", "connections"})
"""They take minutes each: only when they are named, or with `--full`."""
