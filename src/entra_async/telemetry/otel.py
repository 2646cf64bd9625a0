"""A Session's events as OpenTelemetry spans and metrics; needs the extra ``otel``."""

from __future__ import annotations

import importlib.metadata
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, Protocol, final
from urllib.parse import urlsplit

from entra_async.errors import ConfigurationError
from entra_async.telemetry.events import (
    Event,
    PagingRestarted,
    RequestFinished,
    ResyncStarted,
    StoreUsed,
    Throttled,
    TokenRejected,
    TokenRequested,
)

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

__all__ = ("HasTokenStats", "OpenTelemetryListener")

_NAME: Final = "entra_async"
_ERROR: Final = 400
_STATS: Final = ("hits", "misses", "coalesced", "requested", "renewed", "failures", "rejected", "evicted")


class HasTokenStats(Protocol):
    """Anything with ``token_stats``: a Session."""

    @property
    def token_stats(self) -> object:
        """The counters: a :class:`~entra_async.TokenStats`."""
        ...


@final
class OpenTelemetryListener:
    """
    Records events as spans and metrics: ``Session(listener=OpenTelemetryListener())``.

    Spans: one of kind CLIENT for each attempt of a request and for each token request, below the span that is current
    where the call was made. Metrics:

    ===============================================  =========  ==================================================
    ``http.client.request.duration``                 histogram  seconds of one attempt, by method, host and status
    ``entra_async.token.request.duration``           histogram  seconds of a token request, by reason and origin
    ``entra_async.token.waiters``                    counter    callers that waited for one
    ``entra_async.token.rejected``                   counter    tokens that a service rejected, by ``claims``
    ``entra_async.throttle.pause``                   histogram  seconds for which a limiter was paused
    ``entra_async.store.duration``                   histogram  seconds of a store operation, by operation
    ``entra_async.query.restarts``                   counter    restarted queries, by ``kind``
    ``entra_async.token.hits`` and its like          counters   ``Session.token_stats``; see :meth:`observe`
    ===============================================  =========  ==================================================

    ``error.type`` is set on errors. Accounts, tenants and paths are in spans only, since metrics must not have a series
    for each.

    Args:
        tracer_provider: By default the global one.
        meter_provider: By default the global one.

    Raises:
        ConfigurationError: If ``opentelemetry-api`` is not installed.

    Sources:
        https://opentelemetry.io/docs/specs/semconv/http/http-metrics/#metric-httpclientrequestduration
        https://opentelemetry.io/docs/specs/semconv/http/http-spans/#http-client-span
    """

    def __init__(
        self, *, tracer_provider: TracerProvider | None = None, meter_provider: MeterProvider | None = None
    ) -> None:
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            message = "OpenTelemetry is not installed."
            raise ConfigurationError(message, hint="pip install 'entra-async[otel]'") from None
        version = importlib.metadata.version("entra-async")
        self._client = trace.SpanKind.CLIENT
        self._failed = trace.Status(trace.StatusCode.ERROR)
        self._tracer = trace.get_tracer(_NAME, version, tracer_provider)
        self._meter = meter = metrics.get_meter(_NAME, version, meter_provider)
        self._observation: Callable[[int], Observation] = metrics.Observation
        self._requests = meter.create_histogram("http.client.request.duration", "s", "One attempt of a request.")
        self._token_requests = meter.create_histogram("entra_async.token.request.duration", "s", "One token request.")
        self._waiters = meter.create_counter("entra_async.token.waiters", "{caller}", "Callers that waited.")
        self._rejected = meter.create_counter("entra_async.token.rejected", "{token}", "Tokens rejected with 401.")
        self._pauses = meter.create_histogram("entra_async.throttle.pause", "s", "Pause of a limiter.")
        self._store = meter.create_histogram("entra_async.store.duration", "s", "One operation of the token store.")
        self._restarts = meter.create_counter("entra_async.query.restarts", "{restart}", "Restarted queries.")

    def observe(self, session: HasTokenStats) -> None:
        """Report a Session's ``token_stats``, for which there are no events, whenever metrics are collected."""
        for name in _STATS:

            def read(_: CallbackOptions, name: str = name) -> Iterable[Observation]:
                return (self._observation(getattr(session.token_stats, name)),)

            self._meter.create_observable_counter(f"entra_async.token.{name}", [read])

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case RequestFinished():
                self._record_request(event)
            case TokenRequested():
                self._record_token_request(event)
            case TokenRejected():
                self._rejected.add(1, {"claims": event.claims})
            case Throttled():
                self._pauses.record(event.pause_s)
            case StoreUsed():
                failed: dict[str, AttributeValue] = {} if event.error is None else {"error.type": "StoreError"}
                self._store.record(event.duration_s, {"operation": event.operation, **failed})
            case PagingRestarted():
                self._restarts.add(1, {"kind": "pages"})
            case ResyncStarted():
                self._restarts.add(1, {"kind": "delta"})

    def _record_request(self, event: RequestFinished) -> None:
        parts = urlsplit(event.url)
        attributes: dict[str, AttributeValue] = {
            "http.request.method": event.method,
            "server.address": parts.hostname or "",
            "server.port": parts.port or 443,
        }
        if event.status is None:
            attributes["error.type"] = "_OTHER"  # no response; the error that is raised says why
        else:
            attributes["http.response.status_code"] = event.status
            if event.status >= _ERROR:
                attributes["error.type"] = str(event.status)
        self._requests.record(event.duration_s, attributes)
        failed = "error.type" in attributes
        self._record_span(event.method, event.duration_s, {**attributes, "url.full": event.url}, failed=failed)

    def _record_token_request(self, event: TokenRequested) -> None:
        attributes: dict[str, AttributeValue] = {"reason": event.reason, "origin": event.origin}
        if event.error is not None:
            attributes["error.type"] = event.error
        self._token_requests.record(event.duration_s, attributes)
        self._waiters.add(event.waiters)
        of_span: dict[str, AttributeValue] = {
            "account": event.account,
            "scopes": event.scopes,
            "waiters": event.waiters,
        }
        if event.tenant_id is not None:
            of_span["tenant_id"] = event.tenant_id
        self._record_span("token", event.duration_s, {**attributes, **of_span}, failed=event.error is not None)

    def _record_span(
        self, name: str, duration_s: float, attributes: dict[str, AttributeValue], *, failed: bool
    ) -> None:
        ended_ns = time.time_ns()
        span = self._tracer.start_span(
            name, kind=self._client, attributes=attributes, start_time=ended_ns - int(duration_s * 1e9)
        )
        if failed:
            span.set_status(self._failed)
        span.end(ended_ns)
