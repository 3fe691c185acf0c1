"""What Prometheus reads of a service."""

import os

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

# Set where several processes serve, each of which counts into a folder.
_SHARED = "PROMETHEUS_MULTIPROC_DIR"
_RATIOS = (0.25, 0.5, 0.75, 0.9, 1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0)


class ServiceMetrics:
    """Counts of a service, with names that begin with ``skgaussad_``."""

    def __init__(self):
        registry = self._registry = CollectorRegistry()
        self.images = Counter(
            "skgaussad_images",
            "Images scored, by decision.",
            ["decision"],
            registry=registry,
        )
        self.ratio = Histogram(
            "skgaussad_threshold_ratio",
            "Distance of images over the threshold.",
            buckets=_RATIOS,
            registry=registry,
        )
        self.feedback = Counter(
            "skgaussad_feedback",
            "Verdicts of inspection on decisions.",
            ["decision", "verdict"],
            registry=registry,
        )
        self.seconds = Histogram(
            "skgaussad_request_seconds",
            "Time to answer, by request.",
            ["method", "route", "status"],
            registry=registry,
        )
        self.threshold, self.monitor_alarm, self.monitor_evidence, self.samples = (
            Gauge(
                f"skgaussad_{name}",
                text,
                registry=registry,
                multiprocess_mode="mostrecent",
            )
            for name, text in (
                ("threshold", "Threshold on the distance."),
                ("monitor_alarm", "1 while the monitor says production has changed."),
                (
                    "monitor_log_martingale",
                    "Evidence that production has changed, as a natural logarithm.",
                ),
                ("training_images", "Training images of the model in use."),
            )
        )

    def render(self):
        """Return all of it as text of Prometheus."""
        registry = self._registry
        if _SHARED in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)
        return generate_latest(registry)
