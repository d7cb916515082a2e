"""Numbers for Prometheus, in a registry of their own. Labels come from closed sets, so their number is bounded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

Values: TypeAlias = Callable[[], Mapping[tuple[str, ...], float]]
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE"})
_SECONDS = (0.005, 0.02, 0.1, 0.5, 2.0, 10.0, 60.0, 600.0)


class Metrics:
    """What is counted here, and what is asked when somebody looks."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "scigate_http_requests", "Requests answered", ["method", "route", "status"], registry=self._registry
        )
        self._answers: dict[tuple[str, str, int], Counter] = {}
        self._times: dict[str, Histogram] = {}
        self._seconds = Histogram(
            "scigate_http_request_seconds", "Time to answer", ["route"], buckets=_SECONDS, registry=self._registry
        )

    def request(self, method: str, route: str, status: int, seconds: float | None) -> None:
        """Count an answer. ``route`` is the template of a route, never a path; ``seconds`` None: of a stream, which
        lasts as long as the client wants."""
        key = (method if method in _METHODS else "other", route, status)
        if (counter := self._answers.get(key)) is None:  # the library's own way to it costs more than the counting
            counter = self._answers[key] = self._requests.labels(key[0], route, str(status))
        counter.inc()
        if seconds is None:
            return
        if (histogram := self._times.get(route)) is None:
            histogram = self._times[route] = self._seconds.labels(route)
        histogram.observe(seconds)

    def gauge(self, name: str, summary: str, labels: Sequence[str], values: Values) -> None:
        """Show ``values()`` (label values → number) under ``name`` whenever somebody looks."""
        self._registry.register(_Gauge(name, summary, labels, values))

    def text(self) -> str:
        """All of it in Prometheus' text format."""
        return generate_latest(self._registry).decode()


class _Gauge(Collector):
    def __init__(self, name: str, summary: str, labels: Sequence[str], values: Values) -> None:
        self._name, self._summary, self._labels, self._values = name, summary, labels, values

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return [GaugeMetricFamily(self._name, self._summary, labels=self._labels)]

    def collect(self) -> Iterable[GaugeMetricFamily]:
        family = GaugeMetricFamily(self._name, self._summary, labels=self._labels)
        for key, number in self._values().items():
            family.add_metric(key, number)
        return [family]
