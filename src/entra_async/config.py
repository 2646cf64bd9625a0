"""Settings of a Session: clock, limits, time-outs, retries. Plain values: no I/O, no defaults read from elsewhere."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from ssl import SSLContext
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

import anyio

from entra_async.errors import ConfigurationError

__all__ = ("Clock", "Limits", "RetryPolicy", "SystemClock", "Timeouts", "check_proxy")

_PRIORITIES: Final = ("Low", "Normal", "High")


class Clock(Protocol):
    """The clock of a Session. Anything with these three methods will do, so that tests can move time."""

    def now(self) -> float:
        """Return seconds since the Unix epoch: compared with the times of services."""
        ...

    def monotonic(self) -> float:
        """Return seconds on a clock that is never set back: compared with itself only."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        ...


class SystemClock:
    """The machine's own clock."""

    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)
    sleep = staticmethod(anyio.sleep)


def _check_positive(value: float, field: str) -> None:
    # `not >` rather than `<=`: NaN must not pass.
    if not isinstance(value, int | float) or not value > 0:
        message = f"{field} is {value!r}."
        raise ConfigurationError(message, field=field, hint="Give a number greater than zero.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    Limits of connections, requests and cached tokens.

    Attributes:
        connections: Requests in flight at once, over all hosts; more wait for a slot.
        keepalive_s: Seconds an unused connection is kept. Shorter than what the services' front ends
            keep (about 120 s), so that a request rarely meets a connection that is just being closed.
        dns_cache_s: Seconds an address is remembered.
        tokens: Access tokens in the cache; beyond that the expired are evicted first, then the least used.
        requests_per_s: Requests per second of each limiter, at most: one app's at one limit of one service. ``None``
            for as many as the service accepts.
        in_flight: Requests in flight at once of each limiter; ``None`` for all *connections*. A batch is one request.
        response_bytes: The largest decompressed response held in memory; 256 MiB by default. What is streamed has none.
        priority: ``"Low"``, ``"Normal"`` or ``"High"``: which requests Graph throttles first (low before normal). Sent
            as ``x-ms-throttle-priority``, which a call may also set among its headers.

    Raises:
        ConfigurationError: If a value is not greater than zero, or *priority* is another.

    Sources:
        https://learn.microsoft.com/en-us/graph/throttling-limits#request-headers
    """

    connections: int = 100
    keepalive_s: float = 60.0
    dns_cache_s: float = 300.0
    tokens: int = 10_000
    requests_per_s: float | None = None
    in_flight: int | None = None
    response_bytes: int = 256 << 20
    priority: Literal["Low", "Normal", "High"] | None = None

    def __post_init__(self) -> None:
        for field in ("connections", "tokens", "in_flight", "response_bytes"):
            value = getattr(self, field)
            if value is None and field == "in_flight":
                continue
            _check_positive(value, field)
            if not isinstance(value, int):
                message = f"{field} is {value!r}."
                raise ConfigurationError(message, field=field, hint="Give a whole number.")
        _check_positive(self.keepalive_s, "keepalive_s")
        _check_positive(self.dns_cache_s, "dns_cache_s")
        if self.requests_per_s is not None:
            _check_positive(self.requests_per_s, "requests_per_s")
        if self.priority not in (None, *_PRIORITIES):
            message = f"priority is {self.priority!r}."
            raise ConfigurationError(message, field="priority", hint=f"Give one of {', '.join(_PRIORITIES)}.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """
    Time-outs of one attempt of one request, in seconds, each on its own.

    Attributes:
        queue_s: For a slot among ``Limits.connections``. Counted apart, so that a long queue is never
            mistaken for an unreachable host.
        connect_s: For DNS, TCP and TLS.
        response_s: From sending to the last byte of the response, connecting included. Of an upload or a download: from
            its last byte sent to the first one of the response.
        idle_s: Without a byte, of an upload or a download. They have no limit as long as bytes are transferred.

    Raises:
        ConfigurationError: If a value is not greater than zero.
    """

    queue_s: float = 300.0
    connect_s: float = 15.0
    response_s: float = 100.0
    idle_s: float = 30.0

    def __post_init__(self) -> None:
        for field in ("queue_s", "connect_s", "response_s", "idle_s"):
            _check_positive(getattr(self, field), field)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """
    When to retry. Which request may be sent again at all is not a setting: see :mod:`entra_async.rules.http.retry`.

    Attributes:
        max_attempts: How often one request is sent at most, the first time included. A 429 of an API does not count:
            its limiter waits for it, as long as *deadline_s* allows.
        base_delay_s: Seconds before the second attempt without ``Retry-After``; doubles each time.
        max_delay_s: The longest of those waits.
        max_retry_after_s: The longest ``Retry-After`` obeyed; a longer one becomes an error at once.
        deadline_s: Seconds one request may take in all: attempts, queue and delays. ``timeout=`` of a call replaces it.

    Raises:
        ConfigurationError: If a value is not greater than zero.
    """

    max_attempts: int = 6
    base_delay_s: float = 0.5
    max_delay_s: float = 30.0
    max_retry_after_s: float = 180.0
    deadline_s: float = 300.0

    def __post_init__(self) -> None:
        for field in ("max_attempts", "base_delay_s", "max_delay_s", "max_retry_after_s", "deadline_s"):
            _check_positive(getattr(self, field), field)


def check_kinds(
    *,
    ssl: object,
    limits: object,
    timeouts: object,
    retry: object,
) -> None:
    """
    Check the types of a Session's settings; what is left out is ``None``.

    Raises:
        ConfigurationError: If not.
    """
    if not isinstance(ssl, SSLContext | str | os.PathLike | None):
        message = f"ssl is {ssl!r}, which is neither an SSLContext nor a path."
        hint = "Give an SSLContext or the path of a PEM file, or leave it out. TLS cannot be switched off."
        raise ConfigurationError(message, field="ssl", hint=hint)
    for name, value, kind in (
        ("limits", limits, Limits),
        ("timeouts", timeouts, Timeouts),
        ("retry", retry, RetryPolicy),
    ):
        if value is not None and not isinstance(value, kind):
            message = f"{name} is a {type(value).__name__}."
            raise ConfigurationError(message, field=name, hint=f"Give {kind.__name__}(…), or leave it out.")


_PROXY_SCHEMES: Final = ("http", "https")


def check_proxy(proxy: str | None) -> str | None:
    """
    Return *proxy* if it is the URL of an HTTP proxy, such as ``"http://user:password@proxy.contoso.com:8080"``.

    Raises:
        ConfigurationError: If it is not. The message does not repeat it, since it may hold a password.
    """
    if proxy is None:
        return None
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
        usable = usable and proxy.isprintable() and parts.path in ("", "/") and not parts.query and not parts.fragment
    except (ValueError, AttributeError, TypeError):
        usable = False
    if not usable:
        message = "The proxy is not the URL of an HTTP proxy."
        hint = "Give it as http://host:port or https://host:port; SOCKS is not supported."
        raise ConfigurationError(message, field="proxy", hint=hint)
    return proxy
