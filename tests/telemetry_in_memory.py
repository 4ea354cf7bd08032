"""Telemetry that stays in memory: what an app would send, as it would send it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from adapters import telemetry
from adapters.telemetry import Telemetry


class Heard:
    """What was told."""

    def __init__(self) -> None:
        self.reader = InMemoryMetricReader()
        self._spans = InMemorySpanExporter()
        self._lines = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        spans, lines = SimpleSpanProcessor(self._spans), SimpleLogRecordProcessor(self._lines)
        self.telemetry = Telemetry(self.reader, spans, lines)
        self._points: dict[str, list[Any]] = {}

    def listen_no_more(self) -> None:
        """Read what was measured, and close."""
        data = self.reader.get_metrics_data()
        for resource in data.resource_metrics if data is not None else ():
            for scope in resource.scope_metrics:
                self._points |= {metric.name: list(metric.data.data_points) for metric in scope.metrics}
        self.telemetry.close()

    @property
    def metrics(self) -> set[str]:
        return set(self._points)

    def points(self, metric: str, **attributes: str) -> list[Any]:
        """The points of a metric that have these attributes."""
        return [
            point
            for point in self._points.get(metric, ())
            if attributes.items() <= {str(name): value for name, value in point.attributes.items()}.items()
        ]

    def value(self, metric: str, **attributes: str) -> float:
        """The value of the one point with these attributes: a gauge's last, a counter's sum."""
        (point,) = self.points(metric, **attributes)
        return float(point.value)

    def spans(self, **attributes: str) -> list[ReadableSpan]:
        """The spans with these attributes, `host` for `goldroll.host`, in the order in which they ended."""
        wanted = {f"goldroll.{name}": value for name, value in attributes.items()}
        ended = self._spans.get_finished_spans()
        return [span for span in ended if wanted.items() <= dict(span.attributes or {}).items()]

    def lines(self) -> list[dict[str, Any]]:
        """The attributes of each line of the log."""
        return [dict(line.log_record.attributes or {}) for line in self._lines.get_finished_logs()]

    def all_of_it(self) -> str:
        """Everything that was told, as text."""
        points = json.dumps({name: [point.to_json() for point in points] for name, points in self._points.items()})
        spans = "\n".join(span.to_json() for span in self._spans.get_finished_spans())
        return "\n".join([points, spans, *(line.to_json() for line in self._lines.get_finished_logs())])


@contextmanager
def heard() -> Iterator[Heard]:
    """What is told while the context lasts."""
    found = Heard()
    telemetry.use(found.telemetry)
    try:
        yield found
    finally:
        telemetry.use(None)
        found.listen_no_more()
