"""
Tokens shared through a store: one process requests a token, and all can use it.

The store is optional: whenever it fails or is slow, the work goes on without it, and one that hangs is not used for a
while.
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

# The first operation may take longer: the store may have to connect, and to load what it needs.
_FIRST_TIMEOUT_FACTOR: Final = 5
# A store that timed out, or took that long to fail, is not used for so long, and then for twice as long.
_PROBE_S: Final = 1.0  # while one task tries it again, the others go on without it for at least that long
_SLOW_S: Final = 0.5
_FIRST_PAUSE_S: Final = 30.0
_LONGEST_PAUSE_S: Final = 600.0
_SHORTEST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5


class _StoredToken(msgspec.Struct, array_like=True):
    """A token in the store. New fields come last and have a default: older ones must be readable."""

    token: str
    expires_on: int
    refresh_on: int | None
    token_type: str
    claims: str | None = None


class TokenResponse(NamedTuple):
    """
    A token, and how it was had.

    Attributes:
        token: The token.
        claims: The claims challenge that it meets, a JSON text, or ``None``.
        origin: Whether a token service issued it now, or the store had it.
    """

    token: Token
    claims: str | None
    origin: Literal["service", "store"]


@final
class SharedTokens:
    """
    Stored tokens by name, and the lease to request a new one.

    Args:
        store: Where they are stored.
        clock: Where time comes from.
        listener: Called with every use of the store.
        lease_s: Seconds that a lease holder which was killed delays the others. One that lives renews its lease.
        timeout_s: Seconds that the store may take for one operation; the first one may take five times as long.
    """

    def __init__(
        self,
        store: TokenStore,
        clock: Clock,
        *,
        listener: Listener | None = None,
        lease_s: float = 10.0,
        timeout_s: float = 2.0,
    ) -> None:
        self._store = store
        self._clock = clock
        self._listener = listener
        self._lease_s = lease_s
        self._timeout_s = timeout_s
        self._next_timeout_s = _FIRST_TIMEOUT_FACTOR * timeout_s
        self._pause_s = 0.0
        self._paused_until = float("-inf")
        self._tasks: set[asyncio.Task[object]] = set()

    async def fetch(
        self,
        name: str,
        request: Callable[[], Awaitable[Token]],
        *,
        claims: str | None = None,
        is_acceptable: Callable[[TokenResponse], bool],
        find_name: Callable[[], Awaitable[str | None]] | None = None,
    ) -> TokenResponse:
        """
        Return an acceptable token: from the store, or requested by one process at a time.

        Args:
            name: Of the token.
            request: Requests it from the token service.
            claims: The claims challenge that *request* meets; stored with the token.
            is_acceptable: Whether a token of the store can be used.
            find_name: Returns the name it is stored under, if that depends on the sign-in; ``None`` to keep it out of
                the store. Then *name* is shared by those who have not signed in.

        Raises:
            AuthenticationError: Whatever *request* raises.
        """

        async def current_name() -> str | None:
            return name if find_name is None else await find_name()

        async def look_up() -> TokenResponse | None:
            stored_name = await current_name()
            return None if stored_name is None else await self._read(stored_name, is_acceptable)

        found = await look_up()
        if found is not None:
            return found
        # A lease for each sign-in, so that it never waits for another user's interaction.
        async with self._lease(await current_name() or name, look_up) as found:
            if found is not None:
                return found
            token = await request()
            stored_name = await current_name()
            if stored_name is not None:
                stored = _StoredToken(token.token, token.expires_on, token.refresh_on, token.token_type, claims)
                await self._write(stored_name, msgspec.json.encode(stored), expires_on=token.expires_on)
            return TokenResponse(token, claims, "service")

    async def read(self, name: str) -> bytes | None:
        """Return a value of the store, or ``None`` if there is none or the store fails."""
        return await self._use("read", lambda: self._store.read(name), kind=bytes)

    async def write(self, name: str, value: bytes, *, lifetime_s: float) -> None:
        """Store a value for so many seconds, if the store works."""
        await self._write(name, value, expires_on=self._clock.now() + lifetime_s)

    async def delete(self, name: str) -> None:
        """Delete a value, if the store works."""
        await self._use("delete", lambda: self._store.delete(name), kind=object)

    @asynccontextmanager
    async def exclusive(self, name: str) -> AsyncGenerator[None]:
        """Exclude other processes from this block, if the store works."""
        async with self._lease(name, _nothing):
            yield

    async def aclose(self) -> None:
        """Close the store, if that can be done in time."""
        self._paused_until = float("-inf")  # it may hold sockets, so it is closed in any case
        await self._use("close", self._store.aclose, kind=object)
        loop = asyncio.get_running_loop()
        left = {task for task in self._tasks if task.get_loop() is loop}
        if left:
            await asyncio.wait(left, timeout=self._timeout_s)

    async def _write(self, name: str, value: bytes, *, expires_on: float) -> None:
        await self._use("write", lambda: self._store.write(name, value, expires_on=expires_on), kind=object)

    async def _read(self, name: str, is_acceptable: Callable[[TokenResponse], bool]) -> TokenResponse | None:
        value = await self.read(name)
        if value is None:
            return None
        try:
            stored = msgspec.json.decode(value, type=_StoredToken)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        token = Token(stored.token, stored.expires_on, stored.refresh_on, stored.token_type)
        found = TokenResponse(token, stored.claims, "store")
        return found if is_acceptable(found) else None

    @asynccontextmanager
    async def _lease(
        self, name: str, look_up: Callable[[], Awaitable[TokenResponse | None]]
    ) -> AsyncGenerator[TokenResponse | None]:
        """Yield what *look_up* found while another had the lease; ``None`` with the lease, or if the store fails."""
        holder = uuid.uuid4().hex
        wait_s = _SHORTEST_WAIT_S
        while (acquired := await self._acquire(name, holder)) is False:
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S, self._lease_s / 4)
            found = await look_up()
            if found is not None:
                yield found
                return
        if acquired is None:  # the store does not work
            yield None
            return
        renewing = asyncio.create_task(self._renew(name, holder), name="entra_async lease")
        try:
            # The last holder may have written between the last look-up and now.
            yield await look_up()
        finally:
            renewing.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.wait([renewing])
                await self._use("release", lambda: self._store.release(name, holder), kind=object)

    async def _acquire(self, name: str, holder: str) -> bool | None:
        return await self._use("lease", lambda: self._store.lease(name, holder, seconds=self._lease_s), kind=bool)

    async def _renew(self, name: str, holder: str) -> None:
        while True:
            await anyio.sleep(self._lease_s / 3)  # real time, as the processes that wait have it
            await self._acquire(name, holder)

    async def _use(self, operation: _Operation, work: Callable[[], Awaitable[object]], *, kind: type[T]) -> T | None:
        """Return what *work* returns, which must be of that kind; ``None`` if the store fails or is paused."""
        started = self._clock.monotonic()
        if started < self._paused_until:
            return None
        probing = self._pause_s > 0
        if probing:  # one tries whether it works again; the others go on without it
            self._paused_until = started + max(self._timeout_s, _PROBE_S)
        result: T | None = None
        error: str | None = None
        slow = False
        timeout_s = self._next_timeout_s
        try:
            returned = await self._run(work, timeout_s)
            if isinstance(returned, kind):
                result = returned
            elif returned is not None or operation != "read":
                error = f"it returned a {type(returned).__name__}, not a {kind.__name__}"
        except _TimedOutError:
            error, slow = f"no response within {timeout_s:g} s", True
        except Exception as failure:  # noqa: BLE001 - a store of whatever make must not stop anybody
            # The text of an error that is not ours may repeat what was to be stored, as that of a Redis client does.
            error = (
                f"{type(failure).__name__}: {failure}" if isinstance(failure, EntraError) else type(failure).__name__
            )
        self._next_timeout_s = self._timeout_s
        ended = self._clock.monotonic()
        self._update_pause(ended, slow=slow or (error is not None and ended - started >= _SLOW_S), probing=probing)
        if self._listener is not None:
            notify(self._listener, StoreUsed(operation, ended - started, error))
        return result

    async def _run(self, work: Callable[[], Awaitable[object]], timeout_s: float) -> object:
        async def run() -> object:
            return await work()

        # A task of its own: one that ignores cancellation, since it waits for a thread, say, is abandoned.
        task = asyncio.create_task(run(), name="entra_async store")
        self._tasks.add(task)
        task.add_done_callback(self._end)
        try:
            for _ in range(2):  # if it was our loop that stood still, the other half is left
                await asyncio.wait([task], timeout=timeout_s / 2)
        finally:
            task.cancel()
        if not task.done() or task.cancelled():
            raise _TimedOutError
        return task.result()

    def _end(self, task: asyncio.Task[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()  # whoever still wants to know has seen it

    def _update_pause(self, now: float, *, slow: bool, probing: bool) -> None:
        if not slow:
            if probing:
                self._pause_s, self._paused_until = 0.0, float("-inf")
        elif probing or now >= self._paused_until:  # many may have waited at once: that is one failure
            self._pause_s = min(max(_FIRST_PAUSE_S, 2 * self._pause_s), _LONGEST_PAUSE_S)
            self._paused_until = now + self._pause_s


class _TimedOutError(Exception):
    """The store did not respond in time, or gave up."""


async def _nothing() -> None:
    return None
