"""
What the processes of a store have in common: one of them asks for a token, and all have it.

The store is a help and no more: whenever it fails or is slow, the work goes on without it, and one that hangs is left
alone for a while.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal, NamedTuple, TypeVar, final

import anyio
import msgspec

from entra_async.config import Clock
from entra_async.errors import EntraError
from entra_async.telemetry.events import Listener, StoreUsed, notify
from entra_async.tokens.store import TokenStore
from entra_async.tokens.token import Token

__all__ = ("SharedTokens", "TokenResponse")

T = TypeVar("T")
_Operation = Literal["read", "write", "delete", "lease", "release", "close"]

# Until it has answered for the first time: it may have to connect, and to load what it needs.
_FIRST_TIME: Final = 5
# A store that has not answered in time, or took that long to fail, is left alone for so long, and then twice as long.
_PROBE_S: Final = 1.0  # at least that long nobody else tries, whether or not it is heard of the one who does
_SLOW_S: Final = 0.5
_FIRST_PAUSE_S: Final = 30.0
_LONGEST_PAUSE_S: Final = 600.0
_SHORTEST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5


class _StoredToken(msgspec.Struct, array_like=True):
    """A token as the store keeps it. What is added comes last and has a default: older ones must be readable."""

    token: str
    expires_on: int
    refresh_on: int | None
    token_type: str
    claims: str | None = None


class TokenResponse(NamedTuple):
    """
    A token, and how it came.

    Attributes:
        token: The token.
        claims: What a service had demanded of it, a JSON text, or ``None``.
        origin: Who gave it.
    """

    token: Token
    claims: str | None
    origin: Literal["service", "store"]


@final
class SharedTokens:
    """
    Tokens by name, and the right to be the only one who asks.

    Args:
        store: Where they are kept.
        clock: Where time comes from.
        listener: Hears of every use of the store.
        lease_s: Seconds that a holder who was killed holds up the others. One that lives renews its lease.
        patience_s: Seconds that the store may take for one operation; the first one may take five times as long.
    """

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        *,
        listener: Listener | None = None,
        lease_s: float = 10.0,
        patience_s: float = 2.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._listener = listener
        self._lease_s = lease_s
        self._patience_s = patience_s
        self._allowed_s = _FIRST_TIME * patience_s
        self._pause_s = 0.0
        self._paused_until = float("-inf")
        self._busy: set[asyncio.Task[object]] = set()

    async def fetch(
        self,
        name: str,
        ask: Callable[[], Awaitable[Token]],
        *,
        claims: str | None = None,
        is_enough: Callable[[TokenResponse], bool],
        find_name: Callable[[], Awaitable[str | None]] | None = None,
    ) -> TokenResponse:
        """
        Return a token that is good enough: from the store, or asked for by one process at a time.

        Args:
            name: Of the token.
            ask: Asks the token service.
            claims: What it is asked for because a service demands it; told to the others with the token.
            is_enough: Whether a token of the store will do.
            find_name: Gives the name it is kept under, if only a sign-in tells; ``None`` to keep it out of the store.
                Then *name* is what those have in common who have not signed in.

        Raises:
            AuthenticationError: Whatever *ask* raises.
        """

        async def current() -> str | None:
            return name if find_name is None else await find_name()

        async def look() -> TokenResponse | None:
            kept_as = await current()
            return None if kept_as is None else await self._read(kept_as, is_enough)

        known = await look()
        if known is not None:
            return known
        # Of their own, so that they never wait for somebody else who is being asked to sign in.
        async with self._lease(await current() or name, look) as known:
            if known is not None:
                return known
            token = await ask()
            kept_as = await current()
            if kept_as is not None:
                kept = _StoredToken(token.token, token.expires_on, token.refresh_on, token.token_type, claims)
                await self._write(kept_as, msgspec.json.encode(kept), expires_on=token.expires_on)
            return TokenResponse(token, claims, "service")

    async def read(self, name: str) -> bytes | None:
        """Return a value of the store, or ``None`` if there is none or the store fails."""
        return await self._use("read", lambda: self._store.read(name), kind=bytes)

    async def write(self, name: str, value: bytes, *, lives_s: float) -> None:
        """Keep a value for so many seconds, if the store works."""
        await self._write(name, value, expires_on=self._clock.now() + lives_s)

    async def delete(self, name: str) -> None:
        """Throw a value away, if the store works."""
        await self._use("delete", lambda: self._store.delete(name), kind=object)

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncGenerator[None]:
        """Let no other process into this block meanwhile, if the store works."""
        async with self._lease(name, _nothing):
            yield

    async def aclose(self) -> None:
        """Close the store, if that can be done in time."""
        self._paused_until = float("-inf")  # it may hold sockets, so it is told in any case
        await self._use("close", self._store.aclose, kind=object)
        loop = asyncio.get_running_loop()
        left = {task for task in self._busy if task.get_loop() is loop}
        if left:
            await asyncio.wait(left, timeout=self._patience_s)

    async def _write(self, name: str, value: bytes, *, expires_on: float) -> None:
        await self._use("write", lambda: self._store.write(name, value, expires_on=expires_on), kind=object)

    async def _read(self, name: str, is_enough: Callable[[TokenResponse], bool]) -> TokenResponse | None:
        value = await self.read(name)
        if value is None:
            return None
        try:
            kept = msgspec.json.decode(value, type=_StoredToken)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        token = Token(kept.token, kept.expires_on, kept.refresh_on, kept.token_type)
        known = TokenResponse(token, kept.claims, "store")
        return known if is_enough(known) else None

    @asynccontextmanager
    async def _lease(
        self, name: str, look: Callable[[], Awaitable[TokenResponse | None]]
    ) -> AsyncGenerator[TokenResponse | None]:
        """Give what *look* found while another had the lease, or ``None`` with the lease held, or without any store."""
        holder = uuid.uuid4().hex
        wait_s = _SHORTEST_WAIT_S
        while (taken := await self._take(name, holder)) is False:
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S, self._lease_s / 4)
            known = await look()
            if known is not None:
                yield known
                return
        if taken is None:  # the store does not work
            yield None
            return
        keeping = asyncio.create_task(self._keep(name, holder), name="entra_async lease")
        try:
            # The last holder may have written between the last look and now.
            yield await look()
        finally:
            keeping.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([keeping])
                await self._use("release", lambda: self._store.release(name, holder), kind=object)

    async def _take(self, name: str, holder: str) -> bool | None:
        return await self._use("lease", lambda: self._store.lease(name, holder, seconds=self._lease_s), kind=bool)

    async def _keep(self, name: str, holder: str) -> None:
        while True:
            await anyio.sleep(self._lease_s / 3)  # real time, as the processes that wait have it
            await self._take(name, holder)

    async def _use(self, operation: _Operation, work: Callable[[], Awaitable[object]], *, kind: type[T]) -> T | None:
        """Return what *work* gives, which must be of that kind; ``None`` if the store fails or is left alone."""
        started = self._clock.monotonic()
        if started < self._paused_until:
            return None
        probing = self._pause_s > 0
        if probing:  # one tries whether it works again; the others go on without it
            self._paused_until = started + max(self._patience_s, _PROBE_S)
        result: T | None = None
        error: str | None = None
        slow = False
        allowed_s = self._allowed_s
        try:
            given = await self._answer(work, allowed_s)
            if isinstance(given, kind):
                result = given
            elif given is not None or operation != "read":
                error = f"it gave a {type(given).__name__}, not a {kind.__name__}"
        except _NoAnswerError:
            error, slow = f"no answer within {allowed_s:g} s", True
        except Exception as failure:  # noqa: BLE001 - a store of whatever make must not stop anybody
            # The text of an error that is not ours may repeat what was to be stored, as that of a Redis client does.
            error = (
                f"{type(failure).__name__}: {failure}" if isinstance(failure, EntraError) else type(failure).__name__
            )
        self._allowed_s = self._patience_s
        ended = self._clock.monotonic()
        self._judge(ended, slow=slow or (error is not None and ended - started >= _SLOW_S), probing=probing)
        if self._listener is not None:
            notify(self._listener, StoreUsed(operation, ended - started, error))
        return result

    async def _answer(self, work: Callable[[], Awaitable[object]], allowed_s: float) -> object:
        async def run() -> object:
            return await work()

        # A task of its own: one that heeds no cancellation, since it waits for a thread, say, is left to itself.
        task = asyncio.create_task(run(), name="entra_async store")
        self._busy.add(task)
        task.add_done_callback(self._end)
        try:
            for _ in range(2):  # if it was our loop that stood still, the other half is left
                await asyncio.wait([task], timeout=allowed_s / 2)
        finally:
            task.cancel()
        if not task.done() or task.cancelled():
            raise _NoAnswerError
        return task.result()

    def _end(self, task: asyncio.Task[object]) -> None:
        self._busy.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still wants to know has seen it

    def _judge(self, now: float, *, slow: bool, probing: bool) -> None:
        if not slow:
            if probing:
                self._pause_s, self._paused_until = 0.0, float("-inf")
        elif probing or now >= self._paused_until:  # many may have waited at once: that is one failure
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._paused_until = now + self._pause_s


class _NoAnswerError(Exception):
    """The store has not answered in time, or has given up."""


async def _nothing() -> None:
    return None
