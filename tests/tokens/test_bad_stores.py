"""A store that hangs, fails or returns nonsense costs little, leaks no secret, and lets a Session close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

from entra_async.errors import StoreError
from entra_async.telemetry.events import Event, StoreUsed
from entra_async.tokens.shared import SharedTokens, TokenResponse
from entra_async.tokens.token import Token
from tests.support.virtual_clock import VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from entra_async.testing import Emulator

FAR = 4_000_000_000
TIMEOUT_S = 0.01


class Store:
    """A store that runs one function for every operation, and records the operations."""

    def __init__(self, work: Callable[..., Any]) -> None:
        self.work = work
        self.used: list[str] = []

    def _use(self, operation: str, *arguments: object) -> Any:
        self.used.append(operation)
        return self.work(*arguments)

    def read(self, name: str) -> Coroutine[Any, Any, bytes | None]:
        return self._use("read", name)  # type: ignore[no-any-return]

    def write(self, name: str, value: bytes, *, expires_on: float) -> Coroutine[Any, Any, None]:
        return self._use("write", name, value, expires_on)  # type: ignore[no-any-return]

    def delete(self, name: str) -> Coroutine[Any, Any, None]:
        return self._use("delete", name)  # type: ignore[no-any-return]

    def lease(self, name: str, holder: str, *, seconds: float) -> Coroutine[Any, Any, bool]:
        return self._use("lease", name, holder, seconds)  # type: ignore[no-any-return]

    def release(self, name: str, holder: str) -> Coroutine[Any, Any, None]:
        return self._use("release", name, holder)  # type: ignore[no-any-return]

    def aclose(self) -> Coroutine[Any, Any, None]:
        return self._use("close")  # type: ignore[no-any-return]


async def hang(*_: object) -> None:
    await anyio.sleep_forever()


def fail_at_once(*arguments: object) -> None:
    message = f"Error while writing command {arguments}"
    raise ConnectionError(message)


async def fail(*arguments: object) -> None:
    fail_at_once(*arguments)


async def return_none(*_: object) -> None:
    """Respond as a Redis client does to SET NX when there is something."""


async def return_text(*_: object) -> str:
    return "text"


async def return_number(*_: object) -> int:
    return 1


async def return_nonsense(*_: object) -> bytes:
    return b'["token",1e400,null,"Bearer"]'


async def give_up(*_: object) -> None:
    raise anyio.get_cancelled_exc_class()


class Fetcher:
    """A token service, and callers that request its tokens through a store."""

    def __init__(self, shared: SharedTokens) -> None:
        self.shared = shared
        self.count = 0

    async def request(self) -> Token:
        self.count += 1
        return Token(f"token {self.count}", FAR)

    async def fetch(self, name: str = "name") -> TokenResponse:
        return await self.shared.fetch(name, self.request, is_acceptable=lambda _: True)


def errors(events: list[Event]) -> list[str]:
    """Return the store's errors."""
    return [event.error for event in events if isinstance(event, StoreUsed) and event.error is not None]


@pytest.mark.parametrize(
    "work",
    [fail_at_once, fail, return_none, return_text, return_number, return_nonsense, give_up],
    ids=lambda work: work.__name__,
)
async def test_a_store_that_returns_nonsense_is_ignored(work: Callable[..., Any]) -> None:
    """Whatever it raises or returns, the token is requested, and the listener gets an error without a secret."""
    events: list[Event] = []
    fetcher = Fetcher(SharedTokens(Store(work), VirtualClock(), listener=events.append))
    response = await fetcher.fetch("a secret name")

    assert response == TokenResponse(Token("token 1", FAR), None, "service")
    assert errors(events)
    assert "secret name" not in repr(events)
    assert "token 1" not in repr(events)


async def test_the_text_of_our_own_errors_is_in_the_event() -> None:
    """It says why a file cannot be used, and holds no secret."""
    events: list[Event] = []

    def refuse(*_: object) -> None:
        message = "The token store was sealed with another key."
        raise StoreError(message)

    await SharedTokens(Store(refuse), VirtualClock(), listener=events.append).read("name")

    assert errors(events) == ["StoreError: The token store was sealed with another key."]


async def test_a_hanging_store_is_paused() -> None:
    """It costs one time-out, not three for each token; after half a minute it is tried again, then after a minute."""
    clock, events, store = VirtualClock(), [], Store(hang)  # type: ignore[var-annotated]
    fetcher = Fetcher(SharedTokens(store, clock, listener=events.append, timeout_s=TIMEOUT_S))
    for number in range(5):
        await fetcher.fetch(f"name {number}")
    assert store.used == ["read"]
    clock.moved_s += 31
    await fetcher.fetch()
    clock.moved_s += 31
    await fetcher.fetch()
    assert store.used == ["read"] * 2
    clock.moved_s += 31
    await fetcher.fetch()

    assert store.used == ["read"] * 3
    assert fetcher.count == 8
    assert errors(events) == [f"no response within {each:g} s" for each in (5 * TIMEOUT_S, TIMEOUT_S, TIMEOUT_S)]


async def test_many_that_wait_for_a_hanging_store_are_one_failure() -> None:
    """A hundred tokens are requested at once: the store is paused for half a minute, not for ten."""
    clock, store = VirtualClock(), Store(hang)
    fetcher = Fetcher(SharedTokens(store, clock, timeout_s=TIMEOUT_S))
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(fetcher.fetch, f"name {number}")
    store.used.clear()
    clock.moved_s += 31
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(fetcher.fetch, f"name {number}")

    assert store.used == ["read"]  # one tries it, and nobody else waits


async def test_a_store_that_recovers_is_used_again() -> None:
    """The first success ends the pause for everybody."""
    clock, store = VirtualClock(), Store(hang)
    fetcher = Fetcher(SharedTokens(store, clock, timeout_s=TIMEOUT_S))
    await fetcher.fetch()

    async def work(*_: object) -> bool | None:
        return None if store.used[-1] == "read" else True

    store.work = work
    clock.moved_s += 31
    await fetcher.fetch()
    await fetcher.fetch()

    assert store.used == ["read", *["read", "lease", "read", "write", "release"] * 2]


async def test_a_store_that_takes_long_to_fail_is_paused_as_well() -> None:
    """A client with a time-out of its own raises after a second: that second is spent once."""
    clock = VirtualClock()

    async def time_out(*_: object) -> None:
        clock.moved_s += 1
        raise TimeoutError

    store = Store(time_out)
    fetcher = Fetcher(SharedTokens(store, clock))
    await fetcher.fetch()
    await fetcher.fetch()

    assert store.used == ["read"]


async def test_a_store_that_ignores_cancellation_delays_nobody() -> None:
    """A client that waits in a thread cannot be cancelled: its operation is abandoned."""
    done = anyio.Event()

    async def wait(*_: object) -> None:
        with anyio.CancelScope(shield=True):
            await done.wait()

    shared = SharedTokens(Store(wait), VirtualClock(), timeout_s=TIMEOUT_S)
    with anyio.fail_after(10):
        await Fetcher(shared).fetch()
    done.set()
    await shared.aclose()


async def test_a_cancelled_caller_leaves_no_operation_behind() -> None:
    """A caller that is cancelled while the store works ends at once, and so does the operation."""
    cancelled = 0

    async def wait(*_: object) -> None:
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        finally:
            cancelled += 1

    store = Store(wait)
    fetcher = Fetcher(SharedTokens(store, VirtualClock()))
    async with anyio.create_task_group() as group:
        group.start_soon(fetcher.fetch)
        while not store.used:
            await checkpoint()
        group.cancel_scope.cancel()
    await checkpoint()

    assert cancelled == 1
    assert fetcher.count == 0


async def test_closing_ends_though_the_store_hangs() -> None:
    """Closing has a limit as well, also where the store was paused before."""
    events: list[Event] = []
    store = Store(hang)
    shared = SharedTokens(store, VirtualClock(), listener=events.append, timeout_s=TIMEOUT_S)
    await shared.read("name")
    with anyio.fail_after(10):
        await shared.aclose()

    assert store.used == ["read", "close"]
    assert [event.operation for event in events if isinstance(event, StoreUsed) and event.error] == ["read", "close"]


@pytest.mark.parametrize("work", [fail, fail_at_once])
async def test_a_session_closes_though_its_store_does_not(emulator: Emulator, work: Callable[..., Any]) -> None:
    """What a store raises when it is closed goes to the listener; the block that used it ends well."""
    events: list[Event] = []
    store = Store(work)
    async with emulator.session(store=store, listener=events.append) as session:
        await session.connect(emulator.client_secret)

    assert store.used[-1] == "close"
    assert errors(events)[-1] == "ConnectionError"


async def test_a_token_of_an_older_version_is_accepted() -> None:
    """A token that was stored before claims were is still valid."""

    async def read(*_: object) -> bytes:
        return b'["older",4000000000,null,"Bearer"]'

    response = await Fetcher(SharedTokens(Store(read), VirtualClock())).fetch()

    assert response == TokenResponse(Token("older", FAR), None, "store")
