"""What a Session tells about its work, to whoever listens. No event holds a secret."""

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
    "TokenRefused",
    "TokenRequested",
    "combine",
    "notify",
)

_LOGGER: Final = logging.getLogger("entra_async")


@dataclass(frozen=True, slots=True)
class RequestFinished:
    """
    One attempt of one request has ended. It holds no query, header or body.

    Attributes:
        method: HTTP method.
        url: Where it went, without its query.
        status: HTTP status, or ``None`` when no complete answer arrived.
        duration_s: Seconds from sending to the last byte; the wait for a place in the pool is not in it.
    """

    method: str
    url: str
    status: int | None
    duration_s: float

    @property
    def is_trouble(self) -> bool:
        """Whether no answer came."""
        return self.status is None


@dataclass(frozen=True, slots=True)
class TokenRequested:
    """
    A question for a token has ended. Tokens handed out from memory are counted only: ``Session.token_stats``.

    Attributes:
        account: Who signs in: provider and number, such as ``"ClientSecret#1"``.
        tenant_id: The tenant, or ``None`` if the provider does not say.
        scopes: What the token was asked for.
        reason: ``"missing"``, ``"ahead"`` of its end, ``"expiring"`` in its last moments, or ``"refused"``.
        duration_s: Seconds it took.
        waiters: How many callers waited for it; 0 for one ahead, usually.
        origin: ``"service"`` if the token service was asked, ``"store"`` if the store had it.
        error: Class and code of the error, such as ``"AuthenticationError AADSTS7000215"``; ``None`` if a token came.
        retry_in_s: Seconds until a token that is still good is asked for again, after an error.
    """

    account: str
    tenant_id: str | None
    scopes: tuple[str, ...]
    reason: Literal["missing", "ahead", "expiring", "refused"]
    duration_s: float
    waiters: int
    origin: Literal["service", "store"]
    error: str | None
    retry_in_s: float | None

    @property
    def is_trouble(self) -> bool:
        """Whether no token came."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class TokenRefused:
    """
    A service answered 401 to a token.

    Attributes:
        account: See :class:`TokenRequested`.
        scopes: What the token was for.
        claims: Whether the service said what it wants (a claims challenge).
        first: ``False`` if another request had reported that token already.
    """

    account: str
    scopes: tuple[str, ...]
    claims: bool
    first: bool

    @property
    def is_trouble(self) -> bool:
        """Whether it is the first to be told of that token."""
        return self.first


@dataclass(frozen=True, slots=True)
class StoreUsed:
    """
    The token store was used.

    Attributes:
        operation: ``"read"``, ``"write"``, ``"delete"``, ``"lease"``, ``"release"`` or ``"close"``.
        duration_s: Seconds it took.
        error: What went wrong, in words; ``None`` if nothing did. The work went on without the store. Of an error that
            is not ours it is the class only, since its text may repeat what was to be stored.
    """

    operation: Literal["read", "write", "delete", "lease", "release", "close"]
    duration_s: float
    error: str | None

    @property
    def is_trouble(self) -> bool:
        """Whether the store failed."""
        return self.error is not None


@dataclass(frozen=True, slots=True)
class PagingRestarted:
    """
    A page token has expired, and the query was started over. What was handed out is left out.

    Attributes:
        url: The first page, without its query.
        status: HTTP status of the refusal.
        code: The service's code, such as ``"Directory_ExpiredPageToken"``.
        restarts: How often this query was started over so far.
        items: How many items were handed out before.
    """

    url: str
    status: int
    code: str | None
    restarts: int
    items: int

    @property
    def is_trouble(self) -> bool:
        """It is: what took so long will take longer."""
        return True


@dataclass(frozen=True, slots=True)
class ResyncStarted:
    """
    The state of a delta query has expired at the service, and everything is read again.

    Attributes:
        url: The delta function, without its query.
        status: HTTP status of the refusal.
        code: The service's code, such as ``"syncStateNotFound"``.
        located: Whether the service said where to begin; else it is the first request again.
    """

    url: str
    status: int
    code: str | None
    located: bool

    @property
    def is_trouble(self) -> bool:
        """It is: what took so long will take longer."""
        return True


@dataclass(frozen=True, slots=True)
class Throttled:
    """
    A service asked to be left alone: a gate was closed, and all requests of that limit wait.

    Attributes:
        gate: Which one, as in ``Session.throttling``.
        pause_s: Seconds it stays closed.
        waiting: How many requests wait already.
    """

    gate: str
    pause_s: float
    waiting: int

    @property
    def is_trouble(self) -> bool:
        """Whether anybody has to know: work goes on by itself, but slower."""
        return True


Event: TypeAlias = (
    RequestFinished | TokenRequested | TokenRefused | StoreUsed | PagingRestarted | ResyncStarted | Throttled
)
"""Whatever a listener hears of."""

Listener: TypeAlias = Callable[[Event], None]
"""Called on the event loop. It must return at once; what it raises is logged and does no harm."""


def notify(listener: Listener, event: Event) -> None:
    """Tell *listener*; what it raises is logged and goes no further, since no call should fail for being counted."""
    try:
        listener(event)
    except Exception:
        _LOGGER.exception("A listener of entra_async failed at a %s.", type(event).__name__)


def combine(listeners: Listener | Iterable[Listener] | None) -> Listener | None:
    """
    Return one listener that tells all of them, or ``None`` if there is none.

    Raises:
        ConfigurationError: If one of them cannot be called.
    """
    if listeners is None or callable(listeners):
        return listeners
    told = tuple(listeners) if isinstance(listeners, Iterable) else (listeners,)
    for listener in told:
        if not callable(listener):
            message = f"listener is a {type(listener).__name__}, which cannot be called."
            raise ConfigurationError(message, field="listener", hint="Give a function that takes an Event.")
    if len(told) < 2:
        return told[0] if told else None

    def tell(event: Event) -> None:
        for listener in told:
            notify(listener, event)

    return tell
