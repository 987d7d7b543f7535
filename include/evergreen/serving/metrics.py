"""The server's numbers for Prometheus: what was asked, how fast it went, what is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from evergreen.serving.request_log import RequestLog
    from evergreen.serving.served_models import ServedModels
    from evergreen.serving.watched_models import WatchedModels

SECONDS = (0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.125, 0.25, 0.5, 1, 2, 5, 10, 30)


class ServerMetrics:
    """Counters of one server, in a registry of its own."""

    def __init__(self, models: ServedModels, watched: WatchedModels, log: RequestLog) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "evergreen_requests",
            "Requests by model and HTTP status.",
            ["model", "status"],
            registry=self.registry,
        )
        self.rows = Counter(
            "evergreen_rows",
            "Rows answered, by the version that answered.",
            ["model", "version"],
            registry=self.registry,
        )
        self.seconds = Histogram(
            "evergreen_request_seconds",
            "Time from the whole request to its answer.",
            ["model"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.registry.register(_State(models, watched, log))

    def count(
        self, model: str, *, status: int, seconds: float, versions: Mapping[str, int]
    ) -> None:
        """Count one request."""
        self.requests.labels(model, status).inc()
        self.seconds.labels(model).observe(seconds)
        for version, rows in versions.items():
            self.rows.labels(model, version).inc(rows)


class _State(Collector):
    """What is read off when Prometheus asks."""

    def __init__(self, models: ServedModels, watched: WatchedModels, log: RequestLog) -> None:
        self.models, self.watched, self.log = models, watched, log

    def collect(self) -> Iterable[Metric]:
        """Yield one family after the other."""
        both = ["model", "version"]
        serves = GaugeMetricFamily(
            "evergreen_model", "1 for each loaded version and its role.", labels=[*both, "role"]
        )
        queued = GaugeMetricFamily("evergreen_queued_rows", "Rows that wait.", labels=both)
        batches = CounterMetricFamily("evergreen_batches", "Batches predicted.", labels=both)
        predict = CounterMetricFamily(
            "evergreen_predict_seconds", "Seconds in scikit-learn.", labels=both
        )
        restarts = CounterMetricFamily(
            "evergreen_process_restarts", "Processes that died or hung.", labels=both
        )
        problem = GaugeMetricFamily(
            "evergreen_problem", "1 if the ledger or registry cannot be followed.", labels=["model"]
        )
        fallbacks = CounterMetricFamily(
            "evergreen_fallbacks",
            "Requests the champion answered for a failing challenger.",
            labels=["model"],
        )
        # Of a copy: this runs in a thread, while a model may be added or removed.
        for model, follower in list(self.models.followers.items()):
            problem.add_metric([model], float(follower.problem is not None))
            fallbacks.add_metric([model], follower.endpoint.fallbacks)
            traffic = follower.endpoint.traffic
            for role in ("champion", "challenger"):
                version = getattr(traffic, role, None)
                if version is not None:
                    labels = [model, version.version]
                    serves.add_metric([*labels, role], 1)
                    queued.add_metric(labels, version.queued_rows)
                    batches.add_metric(labels, version.batches)
                    predict.add_metric(labels, version.predict_s)
                    restarts.add_metric(labels, version.restarts)
        yield from (serves, queued, batches, predict, restarts, problem, fallbacks)
        yield from self._others()

    def _others(self) -> Iterable[Metric]:
        """Yield what is known beside the versions that are loaded."""
        removed = GaugeMetricFamily(
            "evergreen_model_removed", "1 if a model was served and is no more.", labels=["model"]
        )
        for model in list(self.models.removed):
            removed.add_metric([model], 1)
        yield removed
        monitored = GaugeMetricFamily(
            "evergreen_model_monitored_timestamp_seconds",
            "Up to when the model is watched: a day before the next run is due; 0 if never.",
            labels=["model"],
        )
        for model, at in list(self.watched.instants.items()):
            monitored.add_metric([model], at.timestamp() if at else 0.0)
        yield monitored
        dropped = CounterMetricFamily(
            "evergreen_log_dropped", "Lines and rows of the request log lost."
        )
        dropped.add_metric([], self.log.dropped)
        yield dropped
