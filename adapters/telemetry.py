"""Where measurements, spans and lines of the log go: Application Insights, the console, or nowhere.

Nothing here ever stops a rollout. Nothing of OpenTelemetry's SDK is loaded as long as the setting is empty, nor when
the app is imported: the first line, span or measurement of a process sets it up. The providers are this module's own
and not the process's, so that no library's spans, which may name secret addresses, get into what is sent.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from adapters.settings import SettingsError, TelemetrySettings, read_telemetry_settings
from rollout.measuring import METRICS, Measurement
from rollout.subject import Subject

if TYPE_CHECKING:
    from contextvars import Token

    from opentelemetry.context import Context
    from opentelemetry.sdk._logs import LogRecordProcessor
    from opentelemetry.sdk.metrics.export import MetricReader
    from opentelemetry.sdk.trace import SpanProcessor
    from opentelemetry.trace import Span

SCOPE = "goldroll"
"""Name of the app's logger, above all others of it, and of its meter and its tracer."""

LINE = "goldroll.line"
"""Name under which a line of the log is an event of its own, in AppEvents: AppTraces has it from the host already."""

KEEP_QUIET = ("STATSBEAT_DISABLED_ALL", "SDKSTATS_DISABLED", "CONTROLPLANE_DISABLED")
"""What Azure's exporter would tell Microsoft of itself, and ask it, besides what it is there for."""

NO_RESOURCE_METRIC = "OPENTELEMETRY_RESOURCE_METRIC_DISABLED"
"""A row with nothing but the resource's attributes, with every batch of spans."""

SECONDS_OF_INTEREST = (60, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
"""Bounds of a histogram's buckets: from a minute to a day, where the SDK's own end after a few hours."""

RETRIES = 2
"""Of one sending that fails: within seconds, on a thread of the SDK. After that it is dropped."""

_log = logging.getLogger(f"{SCOPE}.telemetry")


class Invocation(Protocol):
    """What is used of the worker's `azure.functions.Context`."""

    @property
    def trace_context(self) -> Any:
        """The W3C trace context of the invocation, None on a host that has none."""


class OpenSpan(NamedTuple):
    """A span that has not ended, and what puts the one before it back in its place."""

    span: Span
    token: Token[Context]


class Telemetry:
    """Measurements, spans and lines of the log on their way to those who were given: a reader and two processors.

    Whoever makes one closes it. What cannot be sent is dropped by the SDK, which sends from threads of its own.
    """

    def __init__(
        self,
        reader: MetricReader,
        spans: SpanProcessor,
        lines: LogRecordProcessor,
        settings: TelemetrySettings = TelemetrySettings(),  # noqa: B008 - frozen
    ) -> None:
        """Set the SDK up. Raises what the SDK raises."""
        from opentelemetry.sdk._logs import LoggerProvider
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.sampling import ALWAYS_ON

        named = {"service.name": settings.role}
        resource = Resource(named | ({"service.instance.id": settings.instance} if settings.instance else {}))
        self._meters = MeterProvider([reader], resource=resource)
        # Not the caller's choice: the host marks most traces as not recorded, and an activity makes one span.
        self._tracers = TracerProvider(sampler=ALWAYS_ON, resource=resource)
        self._tracers.add_span_processor(spans)
        self._loggers = LoggerProvider(resource=resource)
        self._loggers.add_log_record_processor(lines)
        self._tracer = self._tracers.get_tracer(SCOPE)
        self._record = self._instruments()

    def _instruments(self) -> dict[str, Callable[[float, dict[str, str]], None]]:
        meter = self._meters.get_meter(SCOPE)
        found: dict[str, Callable[[float, dict[str, str]], None]] = {}
        for name, metric in METRICS.items():
            if metric.kind == "gauge":
                found[name] = meter.create_gauge(name, metric.unit, metric.meaning).set
            elif metric.kind == "counter":
                found[name] = meter.create_counter(name, metric.unit, metric.meaning).add
            else:
                made = meter.create_histogram(
                    name, metric.unit, metric.meaning, explicit_bucket_boundaries_advisory=SECONDS_OF_INTEREST
                )
                found[name] = made.record
        return found

    def measure(self, measurements: Iterable[Measurement]) -> None:
        """Take measurements in."""
        for measured in measurements:
            self._record[measured.metric](measured.value, measured.attributes)

    def begin(self, name: str, subject: Subject, invocation: Invocation | None) -> OpenSpan:
        """Begin a span, which is the current one from now on."""
        from opentelemetry.context import attach
        from opentelemetry.trace import set_span_in_context

        opened = self._tracer.start_span(name, _caller(invocation), attributes=_attributes(subject.extra))
        return OpenSpan(opened, attach(set_span_in_context(opened)))

    def end(self, opened: OpenSpan, noted: dict[str, str]) -> None:
        """End it with these attributes; the code of an error alone makes it a failure."""
        from opentelemetry.context import detach
        from opentelemetry.trace import Status, StatusCode

        detach(opened.token)
        opened.span.set_attributes(_attributes(noted))
        if "error" in noted:
            opened.span.set_status(Status(StatusCode.ERROR))
        opened.span.end()

    def line(self, record: logging.LogRecord) -> None:
        """Take a line of the log in: text and level, rollout, pool and host. Never what an exception holds."""
        from opentelemetry._logs import SeverityNumber

        said = {name: str(getattr(record, name, "")) for name in Subject.__struct_fields__}
        text = record.getMessage()
        self._loggers.get_logger(record.name).emit(
            timestamp=int(record.created * 1e9),
            observed_timestamp=time.time_ns(),
            severity_number=SeverityNumber(max(1, min(24, record.levelno // 10 * 4 + 1))),
            severity_text=record.levelname,
            body=text,
            event_name=LINE,
            attributes={
                **_attributes(said),
                # An event in Application Insights has neither body nor level: they are properties of it.
                "microsoft.custom_event.name": LINE,
                "message": text,
                "level": record.levelname,
            },
        )

    def flush(self) -> None:
        """Send what there is, and wait for it."""
        for provider in (self._meters, self._tracers, self._loggers):
            provider.force_flush()

    def close(self) -> None:
        """Send what there is and stop."""
        for provider in (self._meters, self._tracers, self._loggers):
            provider.shutdown()


class _Lines(logging.Handler):
    """Gives lines of the app's log to the telemetry in use."""

    def handle(self, record: logging.LogRecord) -> bool:
        """Without the handler's lock, which the SDK does not need.

        Whoever holds it may wait for telemetry to be set up, while who sets it up has to say that it failed.
        """
        self.emit(record)
        return True

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == _log.name:
            return  # what telemetry says of itself has no way through telemetry
        try:
            if (telemetry := in_use()) is not None:
                telemetry.line(record)
        except Exception:  # noqa: BLE001 - as every handler
            self.handleError(record)


class _Current:
    telemetry: Telemetry | None = None
    is_known = False


_current = _Current()
_lock = threading.RLock()
_lines = _Lines()


def listen() -> None:
    """Let lines of the log go to telemetry if it is on. Loads nothing of it."""
    if os.environ.get("GOLDROLL_TELEMETRY"):
        logging.getLogger(SCOPE).addHandler(_lines)


def use(telemetry: Telemetry | None) -> None:
    """Tell this one from now on; None goes back to the one of the settings, which is set up anew."""
    with _lock:
        _current.telemetry, _current.is_known = telemetry, telemetry is not None
    if telemetry is not None:
        logging.getLogger(SCOPE).addHandler(_lines)
    else:
        logging.getLogger(SCOPE).removeHandler(_lines)


def measure(measurements: Callable[[], Iterable[Measurement]]) -> None:
    """Tell of these, which are worked out only if somebody listens."""
    telemetry = in_use()
    if telemetry is None:
        return
    try:
        telemetry.measure(measurements())
    except Exception as error:  # noqa: BLE001 - a rollout goes on, whatever becomes of its figures
        _log.error("a measurement is lost", exc_info=error)


@contextmanager
def span(name: str, subject: Subject, invocation: Invocation | None = None) -> Iterator[dict[str, str]]:
    """A span of what is done meanwhile, below the function's own invocation, about a subject.

    What is put into the dictionary becomes attributes of it, `error` its failure: codes only, never a sentence. Nothing
    is done when telemetry is off.
    """
    noted: dict[str, str] = {}
    opened = _begun(name, subject, invocation)
    try:
        yield noted
    except Exception as failure:
        noted["error"] = type(failure).__name__
        raise
    finally:
        if opened is not None:
            _end(opened, noted)


def _begun(name: str, subject: Subject, invocation: Invocation | None) -> tuple[Telemetry, OpenSpan] | None:
    telemetry = in_use()
    try:
        return (telemetry, telemetry.begin(name, subject, invocation)) if telemetry is not None else None
    except Exception as error:  # noqa: BLE001 - as in `measure`
        _log.error("a span is lost", exc_info=error)
        return None


def _end(begun: tuple[Telemetry, OpenSpan], noted: dict[str, str]) -> None:
    telemetry, opened = begun
    try:
        telemetry.end(opened, noted)
    except Exception as error:  # noqa: BLE001 - as in `measure`
        _log.error("a span is lost", exc_info=error)


def in_use() -> Telemetry | None:
    """The telemetry of this process, set up by the first who asks; None when it is off."""
    if not _current.is_known:
        with _lock:
            if not _current.is_known:
                _current.telemetry = _from_settings()
                _current.is_known = True  # whatever has come of it: it is tried once in a process
    return _current.telemetry


def _from_settings() -> Telemetry | None:
    try:
        settings = read_telemetry_settings()
        if settings.target == "off":
            return None
        telemetry = to_azure(settings) if settings.target == "azure" else _to_console(settings)
    except SettingsError as error:
        _log.error("there is no telemetry: %s", error)
        return None
    except Exception as error:  # noqa: BLE001 - the SDK and the exporter are others' code
        _log.error("there is no telemetry: %s", type(error).__name__, exc_info=error)
        return None
    logging.getLogger(SCOPE).addHandler(_lines)
    return telemetry


def to_azure(settings: TelemetrySettings) -> Telemetry:
    """Telemetry to Application Insights, signed in as APPLICATIONINSIGHTS_AUTHENTICATION_STRING says.

    Raises ValueError when the connection string is none.
    """
    for name in (*KEEP_QUIET, NO_RESOURCE_METRIC):
        os.environ.setdefault(f"APPLICATIONINSIGHTS_{name}", "true")
    # The worker sends INFO to the host, which would send a line about each sending of telemetry.
    for talkative in ("azure.monitor.opentelemetry", "azure.core.pipeline.policies.http_logging_policy"):
        logging.getLogger(talkative).setLevel(logging.WARNING)
    from azure.monitor.opentelemetry.exporter import (
        AzureMonitorLogExporter,
        AzureMonitorMetricExporter,
        AzureMonitorTraceExporter,
    )
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    given: dict[str, Any] = {
        "connection_string": settings.connection_string,
        "disable_offline_storage": True,  # an instance of the app is soon gone, and its disk with it
        "retry_total": RETRIES,
    }
    return Telemetry(
        _reader(AzureMonitorMetricExporter(**given)),
        BatchSpanProcessor(AzureMonitorTraceExporter(**given)),
        BatchLogRecordProcessor(AzureMonitorLogExporter(**given)),
        settings,
    )


def _to_console(settings: TelemetrySettings) -> Telemetry:
    from opentelemetry.sdk._logs.export import BatchLogRecordProcessor, ConsoleLogRecordExporter
    from opentelemetry.sdk.metrics.export import ConsoleMetricExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

    out = sys.stdout
    return Telemetry(
        _reader(ConsoleMetricExporter(out)),
        BatchSpanProcessor(ConsoleSpanExporter(out=out)),
        BatchLogRecordProcessor(ConsoleLogRecordExporter(out)),
        settings,
    )


def _reader(exporter: Any) -> MetricReader:
    """A reader that hands each figure over once: the state of a pool is not told again and again after its rollout."""
    from opentelemetry.sdk.metrics import Counter, Histogram
    from opentelemetry.sdk.metrics import _Gauge as Gauge
    from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, PeriodicExportingMetricReader

    class ToldOnce(MetricExporter):
        """Another exporter, by whose own wish the last value of a gauge would be sent every minute for ever."""

        def __init__(self) -> None:
            super().__init__(dict.fromkeys((Counter, Histogram, Gauge), AggregationTemporality.DELTA))

        def export(self, metrics_data: Any, timeout_millis: float = 10_000, **kwargs: Any) -> Any:
            return exporter.export(metrics_data, timeout_millis, **kwargs)

        def force_flush(self, timeout_millis: float = 10_000) -> bool:
            return bool(exporter.force_flush(timeout_millis))

        def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
            exporter.shutdown(timeout_millis, **kwargs)

    return PeriodicExportingMetricReader(ToldOnce())


def _caller(invocation: Invocation | None) -> Any:
    """The context of the invocation that the worker has been given by the host; None where there is none."""
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    given = invocation.trace_context if invocation is not None else None
    if given is None:
        return None
    # Earlier workers have other names for them than azure.functions says; later ones have both.
    parent = getattr(given, "trace_parent", "") or getattr(given, "Traceparent", "")
    state = getattr(given, "trace_state", "") or getattr(given, "Tracestate", "")
    return TraceContextTextMapPropagator().extract({"traceparent": parent or "", "tracestate": state or ""})


def _attributes(said: dict[str, str]) -> dict[str, str]:
    return {f"goldroll.{name}": value for name, value in said.items()}
