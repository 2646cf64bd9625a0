"""
What the processes of a store have in common: one of them asks for a token, and all have it.

The store is a help and no more: whenever it fails or is slow, the work goes on without it.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Final, Literal, TypeVar, final

import anyio
import msgspec

from entra_async.config import Clock
from entra_async.telemetry import Listener, StoreUsed, notify
from entra_async.tokens.store import TokenStore
from entra_async.tokens.token import Token

__all__ = ("SharedTokens",)

T = TypeVar("T")
_Operation = Literal["read", "write", "delete", "lease", "release"]

_PATIENCE_S: Final = 5.0
_SHORTEST_WAIT_S: Final = 0.02
_LONGEST_WAIT_S: Final = 0.5


class _Kept(msgspec.Struct, array_like=True):
    """A token as the store keeps it."""

    token: str
    expires_on: int
    refresh_on: int | None
    token_type: str


@final
class SharedTokens:
    """
    Tokens by name, and the right to be the only one who asks.

    Args:
        store: Where they are kept.
        clock: Where time comes from.
        listener: Hears of every use of the store.
        lease_s: Seconds that a holder who was killed holds up the others. One that lives renews its lease.
    """

    def __init__(
        self, store: TokenStore, clock: Clock, *, listener: Listener | None = None, lease_s: float = 10.0
    ) -> None:
        self._store = store
        self._clock = clock
        self._listener = listener
        self._lease_s = lease_s

    async def fetch(
        self, name: str, ask: Callable[[], Awaitable[Token]], *, is_enough: Callable[[Token], bool]
    ) -> tuple[Token, Literal["service", "store"]]:
        """
        Return a token that is good enough: from the store, or asked for by one process at a time.

        Args:
            name: Of the token.
            ask: Asks the token service.
            is_enough: Whether a token of the store will do.

        Raises:
            AuthenticationError: Whatever *ask* raises.
        """
        known = await self._read(name, is_enough)
        if known is not None:
            return known, "store"
        async with self._lease(name, lambda: self._read(name, is_enough)) as known:
            if known is not None:
                return known, "store"
            token = await ask()
            kept = _Kept(token.token, token.expires_on, token.refresh_on, token.token_type)
            await self._use("write", self._store.write(name, msgspec.json.encode(kept), expires_on=token.expires_on))
            return token, "service"

    async def read(self, name: str) -> bytes | None:
        """Return a value of the store, or ``None`` if there is none or the store fails."""
        return await self._use("read", self._store.read(name))

    async def write(self, name: str, value: bytes, *, lives_s: float) -> None:
        """Keep a value for so many seconds, if the store works."""
        await self._use("write", self._store.write(name, value, expires_on=self._clock.now() + lives_s))

    async def delete(self, name: str) -> None:
        """Throw a value away, if the store works."""
        await self._use("delete", self._store.delete(name))

    @asynccontextmanager
    async def alone(self, name: str) -> AsyncGenerator[None]:
        """Let no other process into this block meanwhile, if the store works."""
        async with self._lease(name, _nothing):
            yield

    async def _read(self, name: str, is_enough: Callable[[Token], bool]) -> Token | None:
        value = await self.read(name)
        if value is None:
            return None
        try:
            kept = msgspec.json.decode(value, type=_Kept)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None
        token = Token(kept.token, kept.expires_on, kept.refresh_on, kept.token_type)
        return token if is_enough(token) else None

    @asynccontextmanager
    async def _lease(self, name: str, look: Callable[[], Awaitable[Token | None]]) -> AsyncGenerator[Token | None]:
        """Give what *look* found while another had the lease, or ``None`` with the lease held, or without any store."""
        holder = uuid.uuid4().hex
        wait_s = _SHORTEST_WAIT_S
        while (taken := await self._take(name, holder)) is False:
            await self._clock.sleep(wait_s)
            wait_s = min(wait_s * 1.5, _LONGEST_WAIT_S, self._lease_s / 4)
            token = await look()
            if token is not None:
                yield token
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
                await self._use("release", self._store.release(name, holder))

    async def _take(self, name: str, holder: str) -> bool | None:
        return await self._use("lease", self._store.lease(name, holder, seconds=self._lease_s))

    async def _keep(self, name: str, holder: str) -> None:
        while True:
            await anyio.sleep(self._lease_s / 3)  # real time, as the processes that wait have it
            await self._take(name, holder)

    async def _use(self, operation: _Operation, work: Awaitable[T]) -> T | None:
        started = self._clock.monotonic()
        result: T | None = None
        error: str | None = f"no answer within {_PATIENCE_S:g} s"
        try:
            with anyio.move_on_after(_PATIENCE_S):
                result = await work
                error = None
        except Exception as failure:  # noqa: BLE001 - a store of whatever make must not stop anybody
            error = f"{type(failure).__name__}: {failure}"
        if self._listener is not None:
            notify(self._listener, StoreUsed(operation, self._clock.monotonic() - started, error))
        return result


async def _nothing() -> None:
    return None
