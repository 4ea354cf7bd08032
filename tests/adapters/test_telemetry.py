"""Where telemetry goes by the settings, what is sent there, and that nobody minds when it cannot be."""

from __future__ import annotations

import gzip
import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from adapters import telemetry
from adapters.settings import SettingsError, TelemetrySettings, read_telemetry_settings
from adapters.telemetry import Telemetry, to_azure
from rollout.measuring import Measurement
from rollout.model import SessionHost
from rollout.steps import StartDraining
from rollout.subject import Subject
from simulator.faults import Site
from tests.activities.orders import CALLED_BY, INVOCATION, carry_out
from tests.adapters.office import SimulatedOffice, simulated_office
from tests.telemetry_in_memory import heard

HOST = Subject("image-gal-win11-2.0.0-abcdef", "office", "avd-001")
FREE = Measurement("rollout_capacity_free_slots", 12, {"pool": "office"})
DRAINED = Measurement("rollout_host_drain_seconds", 600, {"pool": "office"})
KEY = "00000000-0000-0000-0000-000000000001"

_log = logging.getLogger("goldroll.story")


@pytest.fixture(autouse=True)
def set_up_anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each test has the telemetry of its own settings, and leaves none."""
    for name in ("GOLDROLL_TELEMETRY", "APPLICATIONINSIGHTS_CONNECTION_STRING"):
        monkeypatch.delenv(name, raising=False)
    telemetry.use(None)
    yield
    telemetry.use(None)


@pytest.fixture
def office() -> Iterator[SimulatedOffice]:
    with simulated_office() as office:
        yield office


class Ingestion:
    """Application Insights on this machine: what it has been sent, item by item."""

    def __init__(self) -> None:
        self.items: list[dict[str, Any]] = []
        self.status = 200
        ingestion = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if self.headers.get("Content-Encoding") == "gzip":
                    body = gzip.decompress(body)
                items = json.loads(body)
                ingestion.items += items if ingestion.status == 200 else []
                said = json.dumps({"itemsReceived": len(items), "itemsAccepted": len(items), "errors": []}).encode()
                self.send_response(ingestion.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, *_: Any) -> None:
                """The test's output is for the test."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    @property
    def settings(self) -> TelemetrySettings:
        address = f"http://127.0.0.1:{self._server.server_port}/"
        return TelemetrySettings("azure", f"InstrumentationKey={KEY};IngestionEndpoint={address}", "goldroll-test")

    def data(self, kind: str) -> list[dict[str, Any]]:
        return [item["data"]["baseData"] for item in self.items if item["data"]["baseType"] == kind]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def ingestion() -> Iterator[Ingestion]:
    found = Ingestion()
    yield found
    found.close()


# ------------------------------------------------------------------------------------------------------------- settings


def test_without_the_setting_nothing_is_worked_out_and_nothing_listens() -> None:
    def never() -> Any:
        raise AssertionError("nobody is there to be told")

    telemetry.listen()
    telemetry.measure(never)
    with telemetry.span("provision_host", HOST, INVOCATION) as noted:
        noted["error"] = "Whatever"

    assert logging.getLogger("goldroll").handlers == []


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"GOLDROLL_TELEMETRY": "graphite"}, "expected one of off, azure, console, got 'graphite'"),
        ({"GOLDROLL_TELEMETRY": "azure"}, "azure needs APPLICATIONINSIGHTS_CONNECTION_STRING"),
    ],
)
def test_a_setting_that_cannot_be_used_is_told_once_and_stops_nothing(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=expected):
        read_telemetry_settings()

    for _ in range(2):
        telemetry.measure(lambda: [FREE])

    assert [record.getMessage() for record in caplog.records if expected in record.getMessage()] == [
        f"there is no telemetry: GOLDROLL_TELEMETRY: {expected}" + (" as well" if "azure needs" in expected else "")
    ]


def test_a_line_waits_for_no_other_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or else two threads could wait for each other for ever: one has a line, holds the handler and waits until
    telemetry is set up; the other is setting it up and has to say that it has failed."""
    monkeypatch.setenv("GOLDROLL_TELEMETRY", "azure")
    telemetry.listen()
    (handler,) = logging.getLogger("goldroll").handlers
    second = threading.Thread(target=_log.warning, args=("a line",))

    handler.acquire()
    try:
        second.start()
        second.join(2)
        assert not second.is_alive()
    finally:
        handler.release()
        second.join()


def test_a_connection_string_that_is_none_is_told_and_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GOLDROLL_TELEMETRY", "azure")
    monkeypatch.setenv("APPLICATIONINSIGHTS_CONNECTION_STRING", "not a connection string")

    telemetry.measure(lambda: [FREE])

    assert "there is no telemetry: ValueError" in [record.getMessage() for record in caplog.records]


def test_the_platform_names_the_app_and_its_instance() -> None:
    environment = {"GOLDROLL_TELEMETRY": "Console", "WEBSITE_SITE_NAME": "goldroll-prod", "WEBSITE_INSTANCE_ID": "a1"}

    assert read_telemetry_settings(environment) == TelemetrySettings("console", "", "goldroll-prod", "a1")
    assert read_telemetry_settings({}) == TelemetrySettings()


def test_the_console_gets_all_three(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("GOLDROLL_TELEMETRY", "console")
    telemetry.listen()
    _log.warning("office: avd-001 is removed", extra=HOST.extra)
    telemetry.measure(lambda: [FREE])
    with telemetry.span("remove_host", HOST):
        pass
    in_use = telemetry.in_use()
    assert in_use is not None
    in_use.close()

    printed = capsys.readouterr().out
    assert "rollout_capacity_free_slots" in printed
    assert '"name": "remove_host"' in printed
    assert "office: avd-001 is removed" in printed


# ------------------------------------------------------------------------------------------------- Application Insights


@pytest.fixture
def told(ingestion: Ingestion) -> Iterator[Telemetry]:
    found = to_azure(ingestion.settings)
    telemetry.use(found)
    yield found
    telemetry.use(None)
    found.close()


def test_application_insights_gets_figures_by_their_names(ingestion: Ingestion, told: Telemetry) -> None:
    telemetry.measure(lambda: [FREE, DRAINED, DRAINED])
    told.flush()

    sent = {one["metrics"][0]["name"]: (one["metrics"][0], one["properties"]) for one in ingestion.data("MetricData")}
    free, of_pool = sent["rollout_capacity_free_slots"]
    drained, _ = sent["rollout_host_drain_seconds"]
    assert (free["value"], of_pool) == (12, {"pool": "office"})
    assert (drained["value"], drained["count"], drained["max"]) == (1200, 2, 600)
    assert {item["tags"]["ai.cloud.role"] for item in ingestion.items} == {"goldroll-test"}


def test_a_figure_is_sent_once_and_not_again_and_again_when_the_rollout_is_over(
    ingestion: Ingestion, told: Telemetry
) -> None:
    telemetry.measure(lambda: [FREE, DRAINED])
    told.flush()
    told.flush()

    assert len(ingestion.data("MetricData")) == 2


def test_a_step_is_a_dependency_below_the_functions_own_request(ingestion: Ingestion, told: Telemetry) -> None:
    with telemetry.span("provision_host", HOST, INVOCATION) as noted:
        noted["error"] = "SkuNotAvailable"
    told.flush()

    (item,) = ingestion.items
    sent = item["data"]["baseData"]
    _, trace, parent, not_recorded = CALLED_BY.split("-")
    assert (item["tags"]["ai.operation.id"], item["tags"]["ai.operation.parentId"]) == (trace, parent)
    assert not_recorded == "00", "which must not keep the step from being told"
    assert (sent["name"], sent["success"]) == ("provision_host", False)
    assert sent["properties"] == {
        "goldroll.rollout": HOST.rollout,
        "goldroll.pool": "office",
        "goldroll.host": "avd-001",
        "goldroll.error": "SkuNotAvailable",
    }


@pytest.mark.parametrize(
    ("invocation", "has_caller"),
    [
        (SimpleNamespace(trace_parent=CALLED_BY, trace_state=""), True),
        (SimpleNamespace(Traceparent=CALLED_BY, Tracestate=""), True),
        (SimpleNamespace(trace_parent="", trace_state=None), False),
        (SimpleNamespace(trace_parent="nonsense", trace_state=""), False),
        (None, False),
    ],
)
def test_the_caller_is_known_by_whatever_name_a_worker_has_for_it(invocation: Any, has_caller: bool) -> None:
    with heard() as found, telemetry.span("decide_turn", HOST, SimpleNamespace(trace_context=invocation)):
        pass

    (span,) = found.spans()
    assert (span.parent is not None) == has_caller


def test_a_line_of_the_log_is_an_event_and_no_second_trace(ingestion: Ingestion, told: Telemetry) -> None:
    """AppTraces has each line from the host: another one would count twice with the alerts that look there."""
    with telemetry.span("decide_turn", HOST, INVOCATION):
        _log.warning("office: %s is removed", "avd-001", extra=HOST.extra)
        _log.error("a line about nothing in particular")
    told.flush()

    assert not ingestion.data("MessageData")
    about, other = ingestion.data("EventData")
    assert about["name"] == "goldroll.line"
    assert about["properties"] == {
        "goldroll.rollout": HOST.rollout,
        "goldroll.pool": "office",
        "goldroll.host": "avd-001",
        "message": "office: avd-001 is removed",
        "level": "WARNING",
        "logger_name": "goldroll.story",
    }
    assert other["properties"].items() >= {"goldroll.host": "", "level": "ERROR"}.items()
    (span,) = ingestion.data("RemoteDependencyData")
    lines = [item for item in ingestion.items if item["data"]["baseType"] == "EventData"]
    assert {item["tags"]["ai.operation.parentId"] for item in lines} == {span["id"]}


def test_nothing_is_sent_besides(ingestion: Ingestion, told: Telemetry, caplog: pytest.LogCaptureFixture) -> None:
    """No statistics of the exporter about itself, and no line in the log for each sending."""
    caplog.set_level(logging.INFO)
    with telemetry.span("remove_host", HOST):
        telemetry.measure(lambda: [FREE])
    told.flush()

    assert sorted(item["data"]["baseType"] for item in ingestion.items) == ["MetricData", "RemoteDependencyData"]
    assert caplog.records == []


def test_spans_of_libraries_are_not_told() -> None:
    """They may name addresses, and the webhook's is a secret."""
    library = trace.get_tracer("azure.core")
    with heard() as found, telemetry.span("send", HOST), library.start_as_current_span("POST /secret"):
        pass

    assert not isinstance(trace.get_tracer_provider(), TracerProvider), "the process has one for every library"
    assert [span.name for span in found.spans()] == ["send"]


# --------------------------------------------------------------------------------------------------------- nobody minds


class Broken(SpanProcessor):
    """A processor with a bug."""

    def on_end(self, span: Any) -> None:
        raise RuntimeError("a bug in somebody else's code")


class Unreachable:
    """An exporter that always fails."""

    def export(self, *_: Any) -> Any:
        raise ConnectionError("nobody is there")

    def shutdown(self) -> None:
        """There is nothing to be shut down."""


@pytest.mark.parametrize("spans", [Broken(), SimpleSpanProcessor(Unreachable())])  # type: ignore[arg-type]
def test_a_step_succeeds_when_its_telemetry_fails(office: SimulatedOffice, spans: SpanProcessor) -> None:
    lines = SimpleLogRecordProcessor(Unreachable())  # type: ignore[arg-type]
    broken = Telemetry(InMemoryMetricReader(), spans, lines)
    telemetry.use(broken)

    try:
        first = office.look().hosts[0]
        answer = carry_out(office, draining(first), rollout="image-gal-win11-2.0.0-abcdef:office")
        telemetry.measure(lambda: [Measurement("no_such_metric", 1, {})])
    finally:
        telemetry.use(None)
        broken.close()

    assert answer == {"ok": True}
    assert not office.host(first.name).allows_new_sessions


def test_what_application_insights_refuses_is_dropped(ingestion: Ingestion, told: Telemetry) -> None:
    ingestion.status = 400

    telemetry.measure(lambda: [FREE])
    told.flush()
    ingestion.status = 200
    told.flush()

    assert ingestion.items == []


# ------------------------------------------------------------------------------------------------------- in an activity


def draining(host: SessionHost) -> StartDraining:
    return StartDraining(host.name, host.vm_id, host.registration, "a test asks for it")


def test_a_step_that_fails_is_a_span_that_failed_and_an_attempt_that_is_counted(office: SimulatedOffice) -> None:
    office.faults.fail_next("PATCH", "sessionHosts", Site.SERVER_ERROR)
    with heard() as found:
        answer = carry_out(office, draining(office.look().hosts[0]), rollout="image-gal-win11-2.0.0-abcdef:office")

    (span,) = found.spans(pool="office")
    attributes = dict(span.attributes or {})
    assert span.name == "start_draining"
    assert attributes["goldroll.error"] == answer["error"]["code"]
    assert not span.status.is_ok
    assert span.status.description is None, "a message may say anything"
    assert found.value("rollout_retries_total", op="start_draining", code=answer["error"]["code"]) == 1


def test_a_span_ends_with_its_step_also_when_that_raises() -> None:
    def fail() -> None:
        with telemetry.span("remove_host", HOST):
            raise KeyError("https://hooks.example/secret")

    with heard() as found:
        with pytest.raises(KeyError):
            fail()
        with telemetry.span("retain_host", HOST):
            pass

    failed, later = found.spans()
    assert dict(failed.attributes or {})["goldroll.error"] == "KeyError"
    assert "hooks.example" not in found.all_of_it()
    assert later.parent is None
