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
    TokenRefused,
    TokenRequested,
)

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import TracerProvider
    from opentelemetry.util.types import AttributeValue

__all__ = ("OpenTelemetryListener",)

_NAME: Final = "entra_async"
_BAD: Final = 400
_COUNTED: Final = ("hits", "misses", "coalesced", "requested", "renewed", "failures", "rejected", "evicted")


class _Instrument(Protocol):
    """Whatever has ``token_stats``: a Session."""

    @property
    def token_stats(self) -> object: ...


@final
class OpenTelemetryListener:
    """
    Turns events into spans and metrics: ``Session(listener=OpenTelemetryListener())``.

    Spans: one of kind CLIENT for each attempt of a request, and one for each question for a token, below whatever span
    is current where the call was made. Metrics:

    ===============================================  =========  ==================================================
    ``http.client.request.duration``                 histogram  seconds of one attempt, by method, host and status
    ``entra_async.token.request.duration``           histogram  seconds of a question for a token, by reason, origin
    ``entra_async.token.waiters``                    counter    callers that waited for one
    ``entra_async.token.refused``                    counter    tokens that a service refused, by ``claims``
    ``entra_async.throttle.pause``                   histogram  seconds for which a gate was closed
    ``entra_async.store.duration``                   histogram  seconds of a use of the store, by operation
    ``entra_async.query.restarts``                   counter    queries that were started over, by ``kind``
    ``entra_async.token.hits`` and its like          counters   ``Session.token_stats``; see :meth:`observe`
    ===============================================  =========  ==================================================

    ``error.type`` is set where something went wrong. Accounts, tenants and paths are in spans only, since metrics must
    not have a series for each.

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
        self._exchanges = meter.create_histogram("http.client.request.duration", "s", "One attempt of a request.")
        self._questions = meter.create_histogram("entra_async.token.request.duration", "s", "A question for a token.")
        self._waiters = meter.create_counter("entra_async.token.waiters", "{caller}", "Callers that waited.")
        self._refused = meter.create_counter("entra_async.token.refused", "{token}", "Tokens answered with 401.")
        self._pauses = meter.create_histogram("entra_async.throttle.pause", "s", "A gate was closed for so long.")
        self._store = meter.create_histogram("entra_async.store.duration", "s", "A use of the token store.")
        self._restarts = meter.create_counter("entra_async.query.restarts", "{restart}", "Queries started over.")

    def observe(self, session: _Instrument) -> None:
        """Report a Session's ``token_stats``, which no event tells of, whenever metrics are collected."""
        for name in _COUNTED:

            def read(_: CallbackOptions, name: str = name) -> Iterable[Observation]:
                return (self._observation(getattr(session.token_stats, name)),)

            self._meter.create_observable_counter(f"entra_async.token.{name}", [read])

    def __call__(self, event: Event) -> None:
        """Record an event."""
        match event:
            case RequestFinished():
                self._exchanged(event)
            case TokenRequested():
                self._asked(event)
            case TokenRefused():
                self._refused.add(1, {"claims": event.claims})
            case Throttled():
                self._pauses.record(event.pause_s)
            case StoreUsed():
                failed: dict[str, AttributeValue] = {} if event.error is None else {"error.type": "StoreError"}
                self._store.record(event.duration_s, {"operation": event.operation, **failed})
            case PagingRestarted():
                self._restarts.add(1, {"kind": "pages"})
            case ResyncStarted():
                self._restarts.add(1, {"kind": "delta"})

    def _exchanged(self, event: RequestFinished) -> None:
        parts = urlsplit(event.url)
        told: dict[str, AttributeValue] = {
            "http.request.method": event.method,
            "server.address": parts.hostname or "",
            "server.port": parts.port or 443,
        }
        if event.status is None:
            told["error.type"] = "_OTHER"  # no answer; the error that is raised says why
        else:
            told["http.response.status_code"] = event.status
            if event.status >= _BAD:
                told["error.type"] = str(event.status)
        self._exchanges.record(event.duration_s, told)
        self._span(event.method, event.duration_s, {**told, "url.full": event.url}, failed="error.type" in told)

    def _asked(self, event: TokenRequested) -> None:
        told: dict[str, AttributeValue] = {"reason": event.reason, "origin": event.origin}
        if event.error is not None:
            told["error.type"] = event.error
        self._questions.record(event.duration_s, told)
        self._waiters.add(event.waiters)
        who: dict[str, AttributeValue] = {"account": event.account, "scopes": event.scopes, "waiters": event.waiters}
        if event.tenant_id is not None:
            who["tenant_id"] = event.tenant_id
        self._span("token", event.duration_s, {**told, **who}, failed=event.error is not None)

    def _span(self, name: str, duration_s: float, told: dict[str, AttributeValue], *, failed: bool) -> None:
        ended_ns = time.time_ns()
        span = self._tracer.start_span(
            name, kind=self._client, attributes=told, start_time=ended_ns - int(duration_s * 1e9)
        )
        if failed:
            span.set_status(self._failed)
        span.end(ended_ns)
