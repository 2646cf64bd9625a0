"""
The only cache of access tokens, and the only place that asks for one.

However many tasks want a token, each key is asked for once at a time. A caller that is cancelled leaves the
others alone; when nobody is left waiting, the question itself is cancelled. A token that is still good is handed
out at once while a new one is asked for.
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
from entra_async.tokens.in_flight import InFlightRequest, Reason, Refusal
from entra_async.tokens.index import Index
from entra_async.tokens.key import NO_TERMS, AccountPolicy, TokenKey
from entra_async.tokens.shared import SharedTokens, TokenResponse
from entra_async.tokens.source import RenewingSource, TokenSource
from entra_async.tokens.stats import TokenStats
from entra_async.tokens.token import Token
from entra_async.tokens.token_request import TokenRequest, find_name

__all__ = ("Broker",)

# From when it is asked for, callers whose token is about to expire wait that long for the next one, before they make do
# with what there is.
_PATIENCE_S: Final = 5.0
# A token that another process left in the store is taken if it lives that much longer.
_WORTHWHILE_S: Final = 60.0


@final
class Broker:
    """
    Hands out tokens; belongs to one Session and knows no provider.

    Args:
        clock: Where time comes from.
        limit: The most tokens it holds.
        chance: Gives random numbers from 0 up to 1.
        listener: Hears of every question that has ended, and of every token that was refused.
        shared: What it has in common with other processes, if anything.
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
        self._shelf = TokenCache(limit)
        self._limit = limit
        self._flights: Index[InFlightRequest] = Index()
        self._refusals: Index[Refusal] = Index()
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = TokenStats()
        self._closed = False

    @property
    def numbers(self) -> TokenStats:
        """What was counted so far: a copy."""
        return replace(self._numbers, held=len(self._shelf))

    def peek(self, key: TokenKey) -> Token | None:
        """Return the token held for *key*, expired or not, without asking for one."""
        held = self._shelf.get(key)
        return None if held is None else held.token

    def find(self, key: TokenKey) -> Token | None:
        """Return the token held for *key* if it is good, and have it renewed if it is time for that."""
        held = self._shelf.get(key)
        if held is None:
            return None
        now, monotonic = self._now(), self._monotonic()
        if now >= held.calm_until or monotonic >= held.calm_until_monotonic:
            # In its last moments callers wait for the next one, but not for a service that has just failed.
            if not held.is_good(now, monotonic) and not (held.failures and held.is_alive(now, monotonic)):
                return None
            if monotonic >= held.retry_at and not self._closed and self._flight(key) is None:
                self._take_off(key, held.source, held.terms, "ahead")
        held.used_at = monotonic
        self._numbers.hits += 1
        return held.token

    async def get(self, key: TokenKey, source: TokenSource, terms: AccountPolicy = NO_TERMS) -> Token:
        """
        Return a token for *key*.

        Args:
            key: What is wanted.
            source: Who is asked when none is held; it must always be the same for a key's account.
            terms: What is known of that account.

        Raises:
            AuthenticationError: If none can be had. Every caller that waits gets its own copy; nothing is remembered.
            TokenMismatchError: If the token is not for what was asked.
            ClosedError: If the broker is closed.
        """
        token = self.find(key)
        if token is not None:
            return token
        if self._closed:
            message = "The Session is closed."
            raise ClosedError(message, hint="Open a new one.")
        self._numbers.misses += 1
        flight = self._flight(key)
        if flight is not None:
            self._numbers.coalesced += 1
        while True:
            flight = flight or self._take_off(key, source, terms, self._reason(key))
            within_s = flight.started + _PATIENCE_S - self._monotonic() if self._living(key) is not None else None
            await self._wait(key, flight, within_s=within_s)
            if flight.token is None:
                old = self._living(key)
                if old is not None:
                    return old
                if not self._closed and (flight.diverted or (flight.silent and flight.error is not None)):
                    # Another question took its place; or it failed since it might not ask a person, which this may.
                    flight = self._flight(key)
                    continue
            return flight.result()

    def refused(self, key: TokenKey, secret: str, claims: str | None = None) -> bool:
        """
        Forget exactly this token, unless another took its place already: the next caller asks for a new one.

        Args:
            key: What it was for.
            secret: The token that a service answered 401 to.
            claims: What the service demands of the next one, a JSON text.

        Returns:
            Whether this was the first to say so.
        """
        held = self._shelf.get(key)
        first = held is not None and held.token.token == secret
        if first:
            self._numbers.refused += 1
            for other in self._shelf.of(key.account, key.scopes):  # it may be held with claims and without
                if self._shelf[other].token.token == secret:
                    self._refuse(other, secret, claims)
        if self._listener is not None:
            notify(self._listener, TokenRejected(key.account, key.scopes, claims is not None, first))
        return first

    def forget(self, account: str, scopes: tuple[str, ...] | None = None) -> None:
        """Forget every token of an account, or those of one resource, also those that are on their way."""
        for key in self._flights.of(account, scopes):
            self._abandon(key, self._flights[key])
        for known in (self._shelf, self._refusals):
            for key in known.of(account, scopes):
                del known[key]

    async def unshare(self, account: str, scopes: tuple[str, ...]) -> None:
        """Throw away what the store holds of an account's tokens of one resource."""
        for key in self._shelf.of(account, scopes):
            held = self._shelf.get(key)  # which may go meanwhile
            if self._shared is not None and held is not None and held.terms.stored_as is not None:
                name = await find_name(key, held.source, held.terms.stored_as)
                if name is not None:
                    await self._shared.delete(name)

    async def aclose(self) -> None:
        """Drop every token, cancel every question, and wait until none is left."""
        self._closed = True
        self._shelf.clear()
        self._refusals.clear()
        for key, flight in list(self._flights.items()):
            self._abandon(key, flight)
        loop = asyncio.get_running_loop()
        tasks = {task for task in self._tasks if task.get_loop() is loop}
        if tasks:
            await asyncio.wait(tasks)

    def _refuse(self, key: TokenKey, secret: str, claims: str | None) -> None:
        self._refusals[key] = Refusal(secret, claims, self._shelf[key].demanded)
        del self._shelf[key]
        if len(self._refusals) > self._limit:  # nobody asked again for what was refused long ago
            del self._refusals[self._refusals.oldest()]
        flight = self._flight(key)
        if flight is not None:  # it was asked before this was known
            flight.diverted = True
            self._abandon(key, flight)

    def _reason(self, key: TokenKey) -> Reason:
        if key in self._refusals:
            return "rejected"
        return "missing" if key not in self._shelf else "expiring"

    def _living(self, key: TokenKey) -> Token | None:
        held = self._shelf.get(key)
        return held.token if held is not None and held.is_alive(self._now(), self._monotonic()) else None

    def _flight(self, key: TokenKey) -> InFlightRequest | None:
        flight = self._flights.get(key)
        if flight is not None and not flight.is_of(asyncio.get_running_loop()):
            del self._flights[key]
            return None
        return flight

    def _take_off(self, key: TokenKey, source: TokenSource, terms: AccountPolicy, reason: Reason) -> InFlightRequest:
        silent = reason == "ahead" and isinstance(source, RenewingSource)
        flight = self._flights[key] = InFlightRequest(reason, started=self._monotonic(), silent=silent)
        self._numbers.asked += 1
        self._numbers.renewed += reason == "ahead"
        # A task of its own, not the first caller's: that one may be cancelled.
        flight.task = task = asyncio.create_task(self._fly(key, source, terms, flight), name="entra_async token")
        self._tasks.add(task)

        def land(task: asyncio.Task[None]) -> None:
            # Here and not in the task, which an ending loop may cancel before it has begun.
            self._tasks.discard(task)
            self._drop(key, flight)
            flight.landed.set()

        task.add_done_callback(land)
        return flight

    async def _wait(self, key: TokenKey, flight: InFlightRequest, *, within_s: float | None) -> None:
        if within_s is not None and within_s <= 0:
            return
        flight.waiters += 1
        try:
            with anyio.move_on_after(within_s):
                await flight.landed.wait()
        finally:
            flight.waiters -= 1
            # What keeps a token fresh goes on without anybody waiting; what a caller began does not.
            if not flight.waiters and not flight.landed.is_set() and within_s is None and flight.reason != "ahead":
                self._abandon(key, flight)

    async def _fly(self, key: TokenKey, source: TokenSource, terms: AccountPolicy, flight: InFlightRequest) -> None:
        started_at = self._now()
        answer: TokenResponse | None = None
        try:
            with flight.scope:
                answer = await self._ask(key, source, terms, flight)
                self._put(key, answer, source, terms, asked_at=started_at, asked_monotonic=flight.started)
                flight.token = answer.token
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
            if not flight.scope.cancel_called:
                flight.error = error
        if flight.token is None and flight.error is None:
            return  # cancelled: nobody wants to know
        retry_in_s = self._note_failure(key, flight.error) if flight.error is not None else None
        if self._listener is not None:
            asked = TokenRequested(
                account=key.account,
                tenant_id=key.tenant_id or terms.tenant_id,
                scopes=key.scopes,
                reason=flight.reason,
                duration_s=self._monotonic() - flight.started,
                waiters=flight.waiters,
                origin="service" if answer is None else answer.origin,
                error=None if flight.error is None else _name(flight.error),
                retry_in_s=retry_in_s,
            )
            notify(self._listener, asked)

    async def _ask(
        self, key: TokenKey, source: TokenSource, terms: AccountPolicy, flight: InFlightRequest
    ) -> TokenResponse:
        held, refusal = self._shelf.get(key), self._refusals.get(key)
        remembered = held.demanded if held is not None else None

        def is_worthwhile(token: Token) -> bool:
            held = self._shelf.get(key)
            return token.expires_on > _WORTHWHILE_S + (self._now() if held is None else held.token.expires_on)

        question = TokenRequest(
            key=key,
            source=source,
            terms=terms,
            refusal=refusal,
            remembered=remembered if refusal is None else refusal.remembered,
            is_worthwhile=is_worthwhile,
            silent=flight.silent,
        )
        answer = await question.put(self._shared)
        expected = ExpectedToken(key.tenant_id or terms.tenant_id, terms.client_id, audience_of(key.scopes))
        check_token(answer.token.claims, expected)
        return answer

    def _put(
        self,
        key: TokenKey,
        answer: TokenResponse,
        source: TokenSource,
        terms: AccountPolicy,
        *,
        asked_at: float,
        asked_monotonic: float,
    ) -> None:
        token, now, monotonic = answer.token, self._now(), self._monotonic()
        # Its end was counted by the wall clock of when it was asked for: set back meanwhile, it would live too long.
        then = max(now, asked_at + monotonic - asked_monotonic)
        then = service_time(token.claims, expires_on=token.expires_on, now=then)
        schedule = plan(expires_on=token.expires_on, refresh_on=token.refresh_on, now=then, chance=self._chance())

        def put(key: TokenKey, demanded: str | None, source: TokenSource) -> None:
            held = self._shelf.get(key)
            if held is not None and held.asked_at > asked_monotonic:
                return  # a question with claims was put later, and answered earlier
            self._shelf[key] = CacheEntry(
                token,
                source,
                terms,
                schedule,
                now=now,
                monotonic=monotonic,
                asked_at=asked_monotonic,
                demanded=lasting(demanded),
            )

        put(key, answer.claims, source)
        self._refusals.discard(key)
        if key.claims is not None:
            # Who asks with claims was refused what is handed out without them.
            plain = key._replace(claims=None)
            refused = self._shelf.get(plain)
            if refused is not None:
                put(plain, merge_claims(refused.demanded, key.claims, answer.claims), refused.source)
        self._numbers.evicted += self._shelf.make_room(now, monotonic)

    def _note_failure(self, key: TokenKey, error: BaseException) -> float | None:
        self._numbers.failures += 1
        held = self._shelf.get(key)
        if held is None:
            return None
        held.failures += 1
        retry_after_s = getattr(error, "retry_after_s", None)
        delay_s = retry_delay_s(held.failures, retry_after_s=retry_after_s, chance=self._chance())
        monotonic = self._monotonic()
        if retry_after_s is None and monotonic < held.good_until_monotonic:  # once more before its last moments
            delay_s = min(delay_s, held.good_until_monotonic - monotonic)
        held.retry_at = monotonic + delay_s
        return delay_s

    def _abandon(self, key: TokenKey, flight: InFlightRequest) -> None:
        self._drop(key, flight)
        if flight.is_of(asyncio.get_running_loop()):
            flight.scope.cancel()

    def _drop(self, key: TokenKey, flight: InFlightRequest) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]


def _name(error: BaseException) -> str:
    code = getattr(error, "code", None)
    return f"{type(error).__name__} {code}" if code else type(error).__name__
