"""Figures as Prometheus reads them."""

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mantlet.events.metrics import BOUNDS_S, COUNTERS, HISTOGRAMS, Snapshot


class SnapshotCollector(Collector):
    """A collector over whatever `read` gives: one process's snapshot, or the merged ones of all workers."""

    def __init__(self, read: Callable[[], Snapshot]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Nothing: registering must not read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Every family, also those that counted nothing yet."""
        snapshot = self._read()
        for name, (text, label_names) in COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=label_names)
            for labels, value in snapshot.counters.get(name, ()):
                counter.add_metric(labels, value)
            yield counter
        for name, (text, label_names) in HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, text, labels=label_names)
            for labels, buckets in snapshot.histograms.get(name, ()):
                histogram.add_metric(labels, _cumulative(buckets), sum_value=buckets[-1])
            yield histogram
        families: dict[str, GaugeMetricFamily] = {}
        for gauge in snapshot.gauges:
            family = families.get(gauge.name)
            if family is None:
                names = [name for name, _ in gauge.labels]
                family = families[gauge.name] = GaugeMetricFamily(gauge.name, gauge.help, labels=names)
            family.add_metric([value for _, value in gauge.labels], gauge.value)
        yield from families.values()


def render(snapshot: Snapshot) -> bytes:
    """The text exposition of `snapshot`."""
    registry = CollectorRegistry()
    registry.register(SnapshotCollector(lambda: snapshot))
    return generate_latest(registry)


def _cumulative(buckets: list[float]) -> list[tuple[str, float]]:
    total, below = 0.0, []
    for bound, count in zip((*(f"{bound}" for bound in BOUNDS_S), "+Inf"), buckets, strict=False):
        total += count
        below.append((bound, total))
    return below
