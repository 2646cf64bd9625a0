"""The events that a Session emits, and how listeners are called. No event holds a secret."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from entra_async.errors import ConfigurationError

__all__ = (
    "Event",
    "Listener",
    "PagingRestarted",
    "RequestFinished",
    "ResyncStarted",
    "StoreUsed",
    "Throttled",
    "TokenRejected",
    "TokenRequested",
    "combine",
    "notify",
)

_LOGGER: Final = logging.getLogger("entra_async")


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """
    One attempt of one request has finished. It holds no query, header or body.

    Attributes:
        method: HTTP method.
        url: Where it went, without its query.
        status: HTTP status, or ``None`` when no complete response arrived.
        duration_s: Seconds from sending to the last byte, without the wait for a slot of the pool.
    """

    method: str
    url: str
    status: int | None
    duration_s: float

    @property
    def is_warning(self) -> bool:
        """Whether no response came."""
        return self.status is None


@dataclass(frozen=True, slots=True)
class TokenRequested:
    """
    A token request has finished. Tokens from the cache are counted only: ``Session.token_stats``.

    Attributes:
        account: Who signs in: provider and number, such as ``"ClientSecret#1"``.
        tenant_id: The tenant, or ``None`` if the provider does not say.
        scopes: The scopes requested.
        reason: ``"missing"``, ``"ahead"`` of expiry, ``"expiring"`` within moments, or ``"rejected"`` by a service.
        duration_s: Seconds it took.
        waiters: How many callers waited for it; usually 0 for a refresh ahead.
        origin: ``"service"`` if the token service issued it, ``"store"`` if the store had it.
        error: Class and code of the error, such as ``"AuthenticationError AADSTS7000215"``; ``None`` if a token came.
        retry_in_s: Seconds until the next attempt to refresh a token that is still valid, after an error.
    """

    account: str
    tenant_id: str | None
    scopes: tuple[str, ...]
    reason: Literal["missing", "ahead", "expiring", "rejected"]
    duration_s: float
    waiters: int
    origin: Literal["service", "store"]
    error: str | None
    retry_in_s: float | None

    @property
    def is_warning(self) -> bool:
        """Whether no token came."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class TokenRejected:
    """
    A service rejected a token with 401.

    Attributes:
        account: See :class:`TokenRequested`.
        scopes: The token's scopes.
        claims: Whether the service sent a claims challenge.
        first: ``False`` if another request had reported that token already.
    """

    account: str
    scopes: tuple[str, ...]
    claims: bool
    first: bool

    @property
    def is_warning(self) -> bool:
        """Whether it is the first event about that token."""
        return self.first


@dataclass(frozen=True, slots=True)
class StoreUsed:
    """
    An operation of the token store has finished.

    Attributes:
        operation: ``"read"``, ``"write"``, ``"delete"``, ``"lease"``, ``"release"`` or ``"close"``.
        duration_s: Seconds it took.
        error: The error's message, ``None`` if there was none. The work went on without the store. Of an error that is
            not ours it is the class only, since its text may repeat what was to be stored.
    """

    operation: Literal["read", "write", "delete", "lease", "release", "close"]
    duration_s: float
    error: str | None

    @property
    def is_warning(self) -> bool:
        """Whether the store failed."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class PagingRestarted:
    """
    A page token has expired, and the query was restarted. Items already yielded are skipped.

    Attributes:
        url: The first page, without its query.
        status: HTTP status of the error response.
        code: The service's code, such as ``"Directory_ExpiredPageToken"``.
        restarts: How often this query was restarted so far.
        items: How many items were yielded before.
    """

    url: str
    status: int
    code: str | None
    restarts: int
    items: int

    @property
    def is_warning(self) -> bool:
        """Always: the query takes longer."""
        return True


@dataclass(frozen=True, slots=True)
class ResyncStarted:
    """
    The state of a delta query has expired at the service, and a full synchronization began.

    Attributes:
        url: The delta function, without its query.
        status: HTTP status of the error response.
        code: The service's code, such as ``"syncStateNotFound"``.
        located: Whether the service sent a ``Location`` to begin at; else it is the first request again.
    """

    url: str
    status: int
    code: str | None
    located: bool

    @property
    def is_warning(self) -> bool:
        """Always: the query takes longer."""
        return True


@dataclass(frozen=True, slots=True)
class Throttled:
    """
    A service throttled a request: its limiter was paused, and all requests of that limit wait.

    Attributes:
        limiter: Its name, as in ``Session.throttling``.
        pause_s: Seconds of the pause.
        waiting: How many requests wait already.
    """

    limiter: str
    pause_s: float
    waiting: int

    @property
    def is_warning(self) -> bool:
        """Always: requests go on after the pause, but slower."""
        return True


Event: TypeAlias = (
    RequestFinished | TokenRequested | TokenRejected | StoreUsed | PagingRestarted | ResyncStarted | Throttled
)
"""What a listener is called with."""

Listener: TypeAlias = Callable[[Event], None]
"""Called on the event loop. It must return at once; what it raises is logged and does no harm."""


def notify(listener: Listener, event: Event) -> None:
    """Call *listener*; what it raises is logged and goes no further, since no call may fail because of telemetry."""
    try:
        listener(event)
    except Exception:
        _LOGGER.exception("A listener of entra_async failed at a %s.", type(event).__name__)


def combine(listeners: Listener | Iterable[Listener] | None) -> Listener | None:
    """
    Return one listener that calls all of them, or ``None`` if there is none.

    Raises:
        ConfigurationError: If one of them cannot be called.
    """
    if listeners is None or callable(listeners):
        return listeners
    each = tuple(listeners) if isinstance(listeners, Iterable) else (listeners,)
    for listener in each:
        if not callable(listener):
            message = f"listener is a {type(listener).__name__}, which cannot be called."
            raise ConfigurationError(message, field="listener", hint="Give a function that takes an Event.")
    if len(each) < 2:
        return each[0] if each else None

    def on_event(event: Event) -> None:
        for listener in each:
            notify(listener, event)

    return on_event
