"""
The only cache of access tokens, and the only place that requests them.

However many tasks want a token, each key has one token request at a time. A caller that is cancelled leaves the others
alone; when nobody is left waiting, the request itself is cancelled. A token that is still fresh is returned at once
while its successor is requested.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Final, final

import anyio

from entra_async.config import Clock
from entra_async.errors import ClosedError
from entra_async.rules.tokens.claims import lasting, merge_claims
from entra_async.rules.tokens.expiry import plan, retry_delay_s, service_time
from entra_async.rules.tokens.token_check import ExpectedToken, audience_of, check_token
from entra_async.telemetry.events import Listener, TokenRejected, TokenRequested, notify
from entra_async.tokens.cache import CacheEntry, TokenCache
from entra_async.tokens.in_flight import InFlightRequest, Reason, Rejection
from entra_async.tokens.index import Index
from entra_async.tokens.key import NO_POLICY, AccountPolicy, TokenKey
from entra_async.tokens.shared import SharedTokens, TokenResponse
from entra_async.tokens.source import SupportsSilentRequest, TokenSource
from entra_async.tokens.stats import TokenStats
from entra_async.tokens.token import Token
from entra_async.tokens.token_request import TokenRequest, find_name

__all__ = ("Broker",)

# From the start of a request, callers whose token is about to expire wait that long for the next one, before they make
# do with the cached one.
_MAX_WAIT_S: Final = 5.0
# A token that another process left in the store is taken if it lives that much longer.
_MIN_GAIN_S: Final = 60.0


@final
class Broker:
    """
    Requests, caches and renews access tokens; belongs to one Session and knows no provider.

    Args:
        clock: Where time comes from.
        limit: The most tokens it caches.
        chance: Returns random numbers from 0 up to 1.
        listener: Called when a token request has finished, and when a service has rejected a token.
        shared: The token store that other processes use as well, if any.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        limit: int = 10_000,
        chance: Callable[[], float] = random.random,
        listener: Listener | None = None,
        shared: SharedTokens | None = None,
    ) -> None:
        self._now = clock.now
        self._monotonic = clock.monotonic
        self._chance = chance
        self._listener = listener
        self._shared = shared
        self._cache = TokenCache(limit)
        self._limit = limit
        self._in_flight: Index[InFlightRequest] = Index()
        self._rejections: Index[Rejection] = Index()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stats = TokenStats()
        self._closed = False

    @property
    def stats(self) -> TokenStats:
        """What was counted so far: a copy."""
        return replace(self._stats, cached=len(self._cache))

    def peek(self, key: TokenKey) -> Token | None:
        """Return the cached token of *key*, expired or not, without requesting one."""
        entry = self._cache.get(key)
        return None if entry is None else entry.token

    def find(self, key: TokenKey) -> Token | None:
        """Return the cached token of *key* if it is fresh, and start its renewal if that is due."""
        entry = self._cache.get(key)
        if entry is None:
            return None
        now, monotonic = self._now(), self._monotonic()
        if now >= entry.refresh_at or monotonic >= entry.refresh_at_monotonic:
            # In its last moments callers wait for the next one, but not for a service that has just failed.
            if not entry.is_fresh(now, monotonic) and not (entry.failures and entry.is_valid(now, monotonic)):
                return None
            if monotonic >= entry.retry_at and not self._closed and self._find_in_flight(key) is None:
                self._start(key, entry.source, entry.policy, "ahead")
        entry.used_at = monotonic
        self._stats.hits += 1
        return entry.token

    async def get(self, key: TokenKey, source: TokenSource, policy: AccountPolicy = NO_POLICY) -> Token:
        """
        Return a token for *key*.

        Args:
            key: What is wanted.
            source: Where it is requested if none is cached; it must always be the same for a key's account.
            policy: What is known of that account.

        Raises:
            AuthenticationError: If none can be had. Each waiting caller gets its own copy; errors are not cached.
            TokenMismatchError: If the token is not for what was requested.
            ClosedError: If the broker is closed.
        """
        token = self.find(key)
        if token is not None:
            return token
        if self._closed:
            message = "The Session is closed."
            raise ClosedError(message, hint="Open a new one.")
        self._stats.misses += 1
        in_flight = self._find_in_flight(key)
        if in_flight is not None:
            self._stats.coalesced += 1
        while True:
            in_flight = in_flight or self._start(key, source, policy, self._reason(key))
            within_s = (
                in_flight.started + _MAX_WAIT_S - self._monotonic() if self._valid_token(key) is not None else None
            )
            await self._wait(key, in_flight, within_s=within_s)
            if in_flight.token is None:
                old = self._valid_token(key)
                if old is not None:
                    return old
                failed_silently = not in_flight.interactive and in_flight.error is not None
                if not self._closed and (in_flight.superseded or failed_silently):
                    # Another request took its place; or it failed without user interaction, which this one allows.
                    in_flight = self._find_in_flight(key)
                    continue
            return in_flight.result()

    def rejected(self, key: TokenKey, secret: str, claims: str | None = None) -> bool:
        """
        Drop exactly this token from the cache, unless it was replaced already: the next caller requests a new one.

        Args:
            key: What it was for.
            secret: The token that a service answered 401 to.
            claims: The claims challenge that the next one has to meet, a JSON text.

        Returns:
            Whether this was the first to report it.
        """
        entry = self._cache.get(key)
        first = entry is not None and entry.token.token == secret
        if first:
            self._stats.rejected += 1
            for other in self._cache.of(key.account, key.scopes):  # it may be cached with claims and without
                if self._cache[other].token.token == secret:
                    self._reject(other, secret, claims)
        if self._listener is not None:
            notify(self._listener, TokenRejected(key.account, key.scopes, claims is not None, first))
        return first

    def forget(self, account: str, scopes: tuple[str, ...] | None = None) -> None:
        """Drop every token of an account, or those of one resource, and cancel their requests."""
        for key in self._in_flight.of(account, scopes):
            self._cancel(key, self._in_flight[key])
        for index in (self._cache, self._rejections):
            for key in index.of(account, scopes):
                del index[key]

    async def delete_stored(self, account: str, scopes: tuple[str, ...]) -> None:
        """Delete an account's tokens of one resource from the store."""
        for key in self._cache.of(account, scopes):
            entry = self._cache.get(key)  # which may go meanwhile
            if self._shared is not None and entry is not None and entry.policy.stored_as is not None:
                name = await find_name(key, entry.source, entry.policy.stored_as)
                if name is not None:
                    await self._shared.delete(name)

    async def aclose(self) -> None:
        """Drop every token, cancel every request, and wait until none is left."""
        self._closed = True
        self._cache.clear()
        self._rejections.clear()
        for key, in_flight in list(self._in_flight.items()):
            self._cancel(key, in_flight)
        loop = asyncio.get_running_loop()
        tasks = {task for task in self._tasks if task.get_loop() is loop}
        if tasks:
            await asyncio.wait(tasks)

    def _reject(self, key: TokenKey, secret: str, claims: str | None) -> None:
        self._rejections[key] = Rejection(secret, claims, self._cache[key].lasting_claims)
        del self._cache[key]
        if len(self._rejections) > self._limit:  # no new token was requested since the oldest one
            del self._rejections[self._rejections.oldest()]
        in_flight = self._find_in_flight(key)
        if in_flight is not None:  # it was sent before this was known
            in_flight.superseded = True
            self._cancel(key, in_flight)

    def _reason(self, key: TokenKey) -> Reason:
        if key in self._rejections:
            return "rejected"
        return "missing" if key not in self._cache else "expiring"

    def _valid_token(self, key: TokenKey) -> Token | None:
        entry = self._cache.get(key)
        return entry.token if entry is not None and entry.is_valid(self._now(), self._monotonic()) else None

    def _find_in_flight(self, key: TokenKey) -> InFlightRequest | None:
        in_flight = self._in_flight.get(key)
        if in_flight is not None and not in_flight.is_of(asyncio.get_running_loop()):
            del self._in_flight[key]
            return None
        return in_flight

    def _start(self, key: TokenKey, source: TokenSource, policy: AccountPolicy, reason: Reason) -> InFlightRequest:
        interactive = reason != "ahead" or not isinstance(source, SupportsSilentRequest)
        in_flight = InFlightRequest(reason, started=self._monotonic(), interactive=interactive)
        self._in_flight[key] = in_flight
        self._stats.requested += 1
        self._stats.renewed += reason == "ahead"
        # A task of its own, not the first caller's: that one may be cancelled.
        in_flight.task = task = asyncio.create_task(self._run(key, source, policy, in_flight), name="entra_async token")
        self._tasks.add(task)

        def finish(task: asyncio.Task[None]) -> None:
            # Here and not in the task, which an ending loop may cancel before it has begun.
            self._tasks.discard(task)
            self._remove(key, in_flight)
            in_flight.finished.set()

        task.add_done_callback(finish)
        return in_flight

    async def _wait(self, key: TokenKey, in_flight: InFlightRequest, *, within_s: float | None) -> None:
        if within_s is not None and within_s <= 0:
            return
        in_flight.waiters += 1
        try:
            with anyio.move_on_after(within_s):
                await in_flight.finished.wait()
        finally:
            in_flight.waiters -= 1
            # A renewal in the background goes on without anybody waiting; a request that a caller started does not.
            unwanted = not in_flight.waiters and not in_flight.finished.is_set()
            if unwanted and within_s is None and in_flight.reason != "ahead":
                self._cancel(key, in_flight)

    async def _run(self, key: TokenKey, source: TokenSource, policy: AccountPolicy, in_flight: InFlightRequest) -> None:
        started_at = self._now()
        response: TokenResponse | None = None
        try:
            with in_flight.scope:
                response = await self._request(key, source, policy, in_flight)
                self._add(key, response, source, policy, requested_at=started_at, requested_monotonic=in_flight.started)
                in_flight.token = response.token
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must get it
            if not in_flight.scope.cancel_called:
                in_flight.error = error
        if in_flight.token is None and in_flight.error is None:
            return  # cancelled: nobody wants to know
        retry_in_s = self._note_failure(key, in_flight.error) if in_flight.error is not None else None
        if self._listener is not None:
            event = TokenRequested(
                account=key.account,
                tenant_id=key.tenant_id or policy.tenant_id,
                scopes=key.scopes,
                reason=in_flight.reason,
                duration_s=self._monotonic() - in_flight.started,
                waiters=in_flight.waiters,
                origin="service" if response is None else response.origin,
                error=None if in_flight.error is None else _name(in_flight.error),
                retry_in_s=retry_in_s,
            )
            notify(self._listener, event)

    async def _request(
        self, key: TokenKey, source: TokenSource, policy: AccountPolicy, in_flight: InFlightRequest
    ) -> TokenResponse:
        entry, rejection = self._cache.get(key), self._rejections.get(key)
        lasting_claims = entry.lasting_claims if entry is not None else None

        def lives_long_enough(token: Token) -> bool:
            entry = self._cache.get(key)
            return token.expires_on > _MIN_GAIN_S + (self._now() if entry is None else entry.token.expires_on)

        request = TokenRequest(
            key=key,
            source=source,
            policy=policy,
            rejection=rejection,
            lasting_claims=lasting_claims if rejection is None else rejection.lasting_claims,
            lives_long_enough=lives_long_enough,
            interactive=in_flight.interactive,
        )
        response = await request.send(self._shared)
        expected = ExpectedToken(key.tenant_id or policy.tenant_id, policy.client_id, audience_of(key.scopes))
        check_token(response.token.claims, expected)
        return response

    def _add(
        self,
        key: TokenKey,
        response: TokenResponse,
        source: TokenSource,
        policy: AccountPolicy,
        *,
        requested_at: float,
        requested_monotonic: float,
    ) -> None:
        token, now, monotonic = response.token, self._now(), self._monotonic()
        # Its expiry was counted by the wall clock of when it was requested: set back meanwhile, it would live too long.
        then = max(now, requested_at + monotonic - requested_monotonic)
        then = service_time(token.claims, expires_on=token.expires_on, now=then)
        schedule = plan(expires_on=token.expires_on, refresh_on=token.refresh_on, now=then, chance=self._chance())

        def add(key: TokenKey, claims: str | None, source: TokenSource) -> None:
            entry = self._cache.get(key)
            if entry is not None and entry.requested_at > requested_monotonic:
                return  # a request with claims was sent later, and answered earlier
            self._cache[key] = CacheEntry(
                token,
                source,
                policy,
                schedule,
                now=now,
                monotonic=monotonic,
                requested_at=requested_monotonic,
                lasting_claims=lasting(claims),
            )

        add(key, response.claims, source)
        self._rejections.discard(key)
        if key.claims is not None:
            # Whoever requests with claims had the token without them rejected.
            plain = key._replace(claims=None)
            rejected = self._cache.get(plain)
            if rejected is not None:
                add(plain, merge_claims(rejected.lasting_claims, key.claims, response.claims), rejected.source)
        self._stats.evicted += self._cache.make_room(now, monotonic)

    def _note_failure(self, key: TokenKey, error: BaseException) -> float | None:
        self._stats.failures += 1
        entry = self._cache.get(key)
        if entry is None:
            return None
        entry.failures += 1
        retry_after_s = getattr(error, "retry_after_s", None)
        delay_s = retry_delay_s(entry.failures, retry_after_s=retry_after_s, chance=self._chance())
        monotonic = self._monotonic()
        if retry_after_s is None and monotonic < entry.fresh_until_monotonic:  # once more before its last moments
            delay_s = min(delay_s, entry.fresh_until_monotonic - monotonic)
        entry.retry_at = monotonic + delay_s
        return delay_s

    def _cancel(self, key: TokenKey, in_flight: InFlightRequest) -> None:
        self._remove(key, in_flight)
        if in_flight.is_of(asyncio.get_running_loop()):
            in_flight.scope.cancel()

    def _remove(self, key: TokenKey, in_flight: InFlightRequest) -> None:
        if self._in_flight.get(key) is in_flight:
            del self._in_flight[key]


def _name(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
