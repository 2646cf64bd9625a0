"""A Session's events as log records, and as OpenTelemetry's spans and metrics."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from entra_async import DeltaState, LoggingListener, MemoryStore, OpenTelemetryListener
from entra_async.errors import ForbiddenError
from entra_async.telemetry.events import RequestFinished, TokenRequested
from entra_async.testing import Emulator


async def test_events_are_log_records(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """A warning is a WARNING record, any other event a DEBUG record; each has its event."""
    caplog.set_level(logging.DEBUG, "entra_async")
    emulator.faults.add("/v1.0/users*", reset="after")
    async with emulator.session(listener=LoggingListener()) as session:
        await session.connect(emulator.client_secret)
        await session.invoke("users/ada@contoso.com")

    records = [record for record in caplog.records if record.name == "entra_async"]
    events = [vars(record)["event"] for record in records]
    assert [type(event) for event in events] == [RequestFinished, TokenRequested, RequestFinished, RequestFinished]
    assert [record.levelname for record in records] == ["DEBUG", "DEBUG", "WARNING", "DEBUG"]
    assert "reason=missing" in records[1].getMessage()


async def test_nothing_is_written_below_the_level(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    """A logger at WARNING gets the warnings only."""
    logger = logging.getLogger("an application's own")
    caplog.set_level(logging.WARNING, logger.name)
    async with emulator.session(listener=LoggingListener(logger)) as session:
        await session.connect(emulator.client_secret)
        await session.invoke("users/ada@contoso.com")
        emulator.clock.move(1)
        emulator.revoke_sessions(emulator.app)
        emulator.clock.move(1)
        await session.invoke("users/ada@contoso.com")

    messages = [record.getMessage() for record in caplog.records if record.name == logger.name]
    assert [message.partition(":")[0] for message in messages] == ["TokenRejected"]


class Telemetry:
    """OpenTelemetry's own SDK, with exporters in memory."""

    def __init__(self) -> None:
        self.spans = InMemorySpanExporter()
        self.tracer = TracerProvider()
        self.tracer.add_span_processor(SimpleSpanProcessor(self.spans))
        self.reader = InMemoryMetricReader()
        self.meter = MeterProvider(metric_readers=[self.reader])
        self.listener = OpenTelemetryListener(tracer_provider=self.tracer, meter_provider=self.meter)

    def points(self) -> dict[str, list[Any]]:
        """Return the points of each metric, by name."""
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]
        return {metric.name: list(metric.data.data_points) for metric in metrics}

    def close(self) -> None:
        """End its threads."""
        self.meter.shutdown()
        self.tracer.shutdown()


async def test_events_are_spans_and_metrics(emulator: Emulator) -> None:
    """Attempts and token requests are spans below the caller's own, and are counted without names of users."""
    telemetry = await to_thread.run_sync(Telemetry)  # it starts threads and waits for them
    async with emulator.session(listener=telemetry.listener, store=MemoryStore(now=emulator.clock.now)) as session:
        telemetry.listener.observe(session)
        with telemetry.tracer.get_tracer("an application").start_as_current_span("crawl") as crawl:
            await session.connect(emulator.client_secret)
            await session.invoke("users/ada@contoso.com")
            emulator.faults.add("/v1.0/users/*", status=403)
            with pytest.raises(ForbiddenError):
                await session.invoke("users/grace@contoso.com")
        points = await to_thread.run_sync(telemetry.points)
    finished = {
        (span.name, (span.attributes or {}).get("http.response.status_code")): span
        for span in telemetry.spans.get_finished_spans()
    }
    await to_thread.run_sync(telemetry.close)

    assert set(finished) == {("POST", 200), ("token", None), ("GET", 200), ("GET", 403), ("crawl", None)}
    for name, span in finished.items():
        if name[0] != "crawl":
            assert span.parent is not None
            assert span.start_time is not None
            assert span.end_time is not None
            assert span.end_time >= span.start_time
            assert span.parent.trace_id == crawl.get_span_context().trace_id
    assert not finished["GET", 403].status.is_ok

    requests = points["http.client.request.duration"]
    assert sum(point.count for point in requests) == 3
    assert {point.attributes.get("error.type") for point in requests} == {None, "403"}
    assert points["entra_async.token.request.duration"][0].attributes == {"reason": "missing", "origin": "service"}
    assert points["entra_async.token.waiters"][0].value == 1
    assert {point.attributes["operation"] for point in points["entra_async.store.duration"]} >= {
        "read",
        "write",
        "lease",
    }
    assert points["entra_async.token.hits"][0].value == session.token_stats.hits > 0
    assert "ada@contoso.com" not in str(points)


async def test_a_rejected_token_is_counted(emulator: Emulator) -> None:
    """A claims challenge shows in the metrics, and the new token request with its reason."""
    telemetry = await to_thread.run_sync(Telemetry)  # it starts threads and waits for them
    async with emulator.session(listener=telemetry.listener) as session:
        await session.connect(emulator.client_secret)
        emulator.clock.move(1)
        emulator.revoke_sessions(emulator.app)
        emulator.clock.move(1)
        await session.invoke("users/ada@contoso.com")
    points = await to_thread.run_sync(telemetry.points)
    await to_thread.run_sync(telemetry.close)

    assert [dict(point.attributes) for point in points["entra_async.token.rejected"]] == [{"claims": True}]
    reasons = {point.attributes["reason"] for point in points["entra_async.token.request.duration"]}
    assert reasons == {"missing", "rejected"}


async def test_a_restarted_query_is_counted(emulator: Emulator, tmp_path: Path) -> None:
    """An expired page token and a forgotten delta state each count, by their kind."""
    telemetry = await to_thread.run_sync(Telemetry)  # it starts threads and waits for them
    async with emulator.session(listener=telemetry.listener) as session:
        await session.connect(emulator.client_secret)
        emulator.graph.expire_page_tokens(at_page=2)
        await session.invoke("users")
        for _ in range(2):
            async for _change in session.delta("groups/delta", state=DeltaState(tmp_path / "groups.delta")):
                pass
            emulator.graph.expire_delta_tokens()
    points = await to_thread.run_sync(telemetry.points)
    await to_thread.run_sync(telemetry.close)

    counted = {str(point.attributes["kind"]): point.value for point in points["entra_async.query.restarts"]}
    assert counted == {"pages": 1, "delta": 1}
