"""A store that hangs, fails or answers nonsense costs little, tells no secret, and lets a Session close."""

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
PATIENCE_S = 0.01


class Store:
    """Does for every operation what it is told to; counts them."""

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


async def give_none(*_: object) -> None:
    """Answer as a Redis client does to SET NX when there is something."""


async def give_text(*_: object) -> str:
    return "text"


async def give_number(*_: object) -> int:
    return 1


async def give_rubbish(*_: object) -> bytes:
    return b'["token",1e400,null,"Bearer"]'


async def give_up(*_: object) -> None:
    raise anyio.get_cancelled_exc_class()


class Asked:
    """A token service that is never at a loss."""

    def __init__(self, shared: SharedTokens) -> None:
        self.shared = shared
        self.count = 0

    async def ask(self) -> Token:
        self.count += 1
        return Token(f"token {self.count}", FAR)

    async def fetch(self, name: str = "name") -> TokenResponse:
        return await self.shared.fetch(name, self.ask, is_enough=lambda _: True)


def errors(heard: list[Event]) -> list[str]:
    """Return what went wrong with the store."""
    return [event.error for event in heard if isinstance(event, StoreUsed) and event.error is not None]


@pytest.mark.parametrize(
    "work",
    [fail_at_once, fail, give_none, give_text, give_number, give_rubbish, give_up],
    ids=lambda work: work.__name__,
)
async def test_a_store_that_answers_nonsense_is_done_without(work: Callable[..., Any]) -> None:
    """Whatever it raises or gives, the token is asked for, and a listener hears of it without a secret."""
    heard: list[Event] = []
    asked = Asked(SharedTokens(Store(work), VirtualClock(), listener=heard.append))
    answer = await asked.fetch("a secret name")

    assert answer == TokenResponse(Token("token 1", FAR), None, "service")
    assert errors(heard)
    assert "secret name" not in repr(heard)
    assert "token 1" not in repr(heard)


async def test_what_our_own_errors_say_is_told() -> None:
    """Why a file cannot be used is worth knowing, and holds no secret."""
    heard: list[Event] = []

    def refuse(*_: object) -> None:
        message = "The token store was sealed with another key."
        raise StoreError(message)

    await SharedTokens(Store(refuse), VirtualClock(), listener=heard.append).read("name")

    assert errors(heard) == ["StoreError: The token store was sealed with another key."]


async def test_a_hanging_store_is_left_alone() -> None:
    """It costs one time-out, not three for each token; after half a minute it is tried again, then after a minute."""
    clock, heard, store = VirtualClock(), [], Store(hang)  # type: ignore[var-annotated]
    asked = Asked(SharedTokens(store, clock, listener=heard.append, patience_s=PATIENCE_S))
    for number in range(5):
        await asked.fetch(f"name {number}")
    assert store.used == ["read"]
    clock.moved_s += 31
    await asked.fetch()
    clock.moved_s += 31
    await asked.fetch()
    assert store.used == ["read"] * 2
    clock.moved_s += 31
    await asked.fetch()

    assert store.used == ["read"] * 3
    assert asked.count == 8
    assert errors(heard) == [f"no answer within {each:g} s" for each in (5 * PATIENCE_S, PATIENCE_S, PATIENCE_S)]


async def test_many_that_wait_for_a_hanging_store_are_one_failure() -> None:
    """A hundred tokens are asked for at once: the store is left alone for half a minute, not for ten."""
    clock, store = VirtualClock(), Store(hang)
    asked = Asked(SharedTokens(store, clock, patience_s=PATIENCE_S))
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(asked.fetch, f"name {number}")
    store.used.clear()
    clock.moved_s += 31
    async with anyio.create_task_group() as group:
        for number in range(100):
            group.start_soon(asked.fetch, f"name {number}")

    assert store.used == ["read"]  # one tries it, and nobody else waits


async def test_a_store_that_recovers_is_used_again() -> None:
    """The first answer ends the pause for everybody."""
    clock, store = VirtualClock(), Store(hang)
    asked = Asked(SharedTokens(store, clock, patience_s=PATIENCE_S))
    await asked.fetch()

    async def work(*_: object) -> bool | None:
        return None if store.used[-1] == "read" else True

    store.work = work
    clock.moved_s += 31
    await asked.fetch()
    await asked.fetch()

    assert store.used == ["read", *["read", "lease", "read", "write", "release"] * 2]


async def test_a_store_that_takes_long_to_fail_is_left_alone_as_well() -> None:
    """A client with a time-out of its own raises after a second: that second is spent once."""
    clock = VirtualClock()

    async def time_out(*_: object) -> None:
        clock.moved_s += 1
        raise TimeoutError

    store = Store(time_out)
    asked = Asked(SharedTokens(store, clock))
    await asked.fetch()
    await asked.fetch()

    assert store.used == ["read"]


async def test_a_store_that_heeds_no_cancellation_holds_up_nobody() -> None:
    """A client that waits in a thread cannot be cancelled: its operation is left to itself."""
    done = anyio.Event()

    async def wait(*_: object) -> None:
        with anyio.CancelScope(shield=True):
            await done.wait()

    shared = SharedTokens(Store(wait), VirtualClock(), patience_s=PATIENCE_S)
    with anyio.fail_after(10):
        await Asked(shared).fetch()
    done.set()
    await shared.aclose()


async def test_a_cancelled_caller_leaves_no_operation_behind() -> None:
    """A caller that is cancelled while the store thinks is so at once, and so is the operation."""
    cancelled = 0

    async def wait(*_: object) -> None:
        nonlocal cancelled
        try:
            await anyio.sleep_forever()
        finally:
            cancelled += 1

    store = Store(wait)
    asked = Asked(SharedTokens(store, VirtualClock()))
    async with anyio.create_task_group() as group:
        group.start_soon(asked.fetch)
        while not store.used:
            await checkpoint()
        group.cancel_scope.cancel()
    await checkpoint()

    assert cancelled == 1
    assert asked.count == 0


async def test_closing_ends_though_the_store_hangs() -> None:
    """Closing has a limit as well, also where the store was left alone before."""
    heard: list[Event] = []
    store = Store(hang)
    shared = SharedTokens(store, VirtualClock(), listener=heard.append, patience_s=PATIENCE_S)
    await shared.read("name")
    with anyio.fail_after(10):
        await shared.aclose()

    assert store.used == ["read", "close"]
    assert [event.operation for event in heard if isinstance(event, StoreUsed) and event.error] == ["read", "close"]


@pytest.mark.parametrize("work", [fail, fail_at_once])
async def test_a_session_closes_though_its_store_does_not(emulator: Emulator, work: Callable[..., Any]) -> None:
    """What a store raises when it is closed, a listener hears of; the block that used it ends well."""
    heard: list[Event] = []
    store = Store(work)
    async with emulator.session(store=store, listener=heard.append) as session:
        await session.connect(emulator.client_secret)

    assert store.used[-1] == "close"
    assert errors(heard)[-1] == "ConnectionError"


async def test_a_token_of_an_older_version_is_taken() -> None:
    """What was stored before claims were told is still good."""

    async def give(*_: object) -> bytes:
        return b'["older",4000000000,null,"Bearer"]'

    answer = await Asked(SharedTokens(Store(give), VirtualClock())).fetch()

    assert answer == TokenResponse(Token("older", FAR), None, "store")
