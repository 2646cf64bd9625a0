"""
The only cache of access tokens, and the only place that asks for one.

However many tasks want a token, each key is asked for once at a time. A caller that is cancelled leaves the
others alone; when nobody is left waiting, the question itself is cancelled.
"""

from __future__ import annotations

import asyncio
import copy
from typing import Final, NamedTuple

import anyio

from entra_async.config import Clock
from entra_async.errors import ClosedError, EntraError
from entra_async.rules.expiry import usable_until
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

__all__ = ("Broker", "TokenKey")


class TokenKey(NamedTuple):
    """
    What makes two requests for a token the same.

    Attributes:
        authority: Root of the sign-in service: it tells the cloud.
        tenant_id: Where to sign in; ``None`` for the provider's own tenant.
        account: Who signs in: one name for each provider in use, which stands for client and credential.
        scopes: The scopes, as asked.
        claims: What a service demanded beyond that, or ``None``.
        enable_cae: Whether the token may be a long-lived one that is revoked early.
    """

    authority: str
    tenant_id: str | None
    account: str
    scopes: tuple[str, ...]
    claims: str | None = None
    enable_cae: bool = False


class _Entry(NamedTuple):
    token: Token
    usable_until: float


class _Flight:
    """One question on its way to a token service, and how many wait for its answer."""

    __slots__ = ("done", "error", "scope", "task", "token", "waiters")

    def __init__(self) -> None:
        self.done: Final = anyio.Event()
        self.scope: Final = anyio.CancelScope()
        self.task: asyncio.Task[None] | None = None
        self.token: Token | None = None
        self.error: BaseException | None = None
        self.waiters = 0


class Broker:
    """Hands out tokens; belongs to one Session and knows no provider."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._now = clock.now
        self._entries: dict[TokenKey, _Entry] = {}
        self._flights: dict[TokenKey, _Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False

    def peek(self, key: TokenKey) -> Token | None:
        """Return the token held for *key*, expired or not, without asking for one."""
        entry = self._entries.get(key)
        return None if entry is None else entry.token

    def find(self, key: TokenKey) -> Token | None:
        """Return the token held for *key* if it is good for some minutes, without asking for one."""
        entry = self._entries.get(key)
        return entry.token if entry is not None and self._now() < entry.usable_until else None

    async def get(self, key: TokenKey, source: TokenSource) -> Token:
        """
        Return a token for *key* that is good for some minutes.

        Args:
            key: What is wanted.
            source: Who is asked when none is held; it must always be the same for a key's account.

        Raises:
            AuthenticationError: If none can be had. Every caller that waits gets its own copy; nothing is remembered.
            ClosedError: If the broker is closed.
        """
        entry = self._entries.get(key)
        if entry is not None and self._now() < entry.usable_until:
            return entry.token
        if self._closed:
            message = "The Session is closed."
            raise ClosedError(message, hint="Open a new one.")
        flight = self._flights.get(key)
        if flight is None:
            flight = self._flights[key] = _Flight()
            # A task of its own, not the first caller's: that one may be cancelled.
            flight.task = asyncio.create_task(self._fly(key, source, flight), name="entra_async token")
            self._tasks.add(flight.task)
            flight.task.add_done_callback(self._tasks.discard)
        flight.waiters += 1
        try:
            await flight.done.wait()
        finally:
            flight.waiters -= 1
            if not flight.waiters and not flight.done.is_set():
                self._drop(key, flight)
                flight.scope.cancel()
        if flight.token is not None:
            return flight.token
        if isinstance(flight.error, EntraError):
            # Raising one exception in many tasks would grow its traceback with each of them.
            raise copy.copy(flight.error) from flight.error
        if flight.error is not None:
            raise flight.error.with_traceback(None)
        message = "The Session was closed, or the service disconnected, while a token was asked for."
        raise ClosedError(message, hint="Close it after the last call has ended.")

    async def _fly(self, key: TokenKey, source: TokenSource, flight: _Flight) -> None:
        try:
            with flight.scope:
                token = await source.get_token(
                    *key.scopes, claims=key.claims, tenant_id=key.tenant_id, enable_cae=key.enable_cae
                )
                flight.token = token
                self._entries[key] = _Entry(token, usable_until(expires_on=token.expires_on, now=self._now()))
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
            if not flight.scope.cancel_called:
                flight.error = error
        finally:
            self._drop(key, flight)
            flight.done.set()

    def _drop(self, key: TokenKey, flight: _Flight) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]

    def drop(self, key: TokenKey) -> None:
        """Forget the token held for *key*: the next caller asks for a new one."""
        self._entries.pop(key, None)

    def forget(self, account: str, scopes: tuple[str, ...] | None = None) -> None:
        """Forget every token of an account, or those of one resource, also those that are on their way."""
        for key, flight in list(self._flights.items()):
            if key.account == account and scopes in (None, key.scopes):
                self._drop(key, flight)
                flight.scope.cancel()
        for key in [key for key in self._entries if key.account == account and scopes in (None, key.scopes)]:
            del self._entries[key]

    async def aclose(self) -> None:
        """Drop every token, cancel every question, and wait until none is left."""
        self._closed = True
        self._entries.clear()
        for flight in list(self._flights.values()):
            flight.scope.cancel()
        if self._tasks:
            await asyncio.wait(set(self._tasks))
