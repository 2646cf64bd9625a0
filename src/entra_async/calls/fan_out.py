"""Many calls at once: as many as wanted are on their way, and no more are taken from what is given."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Mapping
from itertools import count
from typing import Any, Final, TypeAlias, TypeVar

from entra_async.calls.background_tasks import StartTask, cancel_all, finish
from entra_async.calls.request import Request, RequestLike, as_request
from entra_async.errors import ClosedError, ConfigurationError, EntraError

__all__ = ("Many", "check_many", "fan_out", "invoke_many", "iterate")

T = TypeVar("T")
GivenT = TypeVar("GivenT", bound=RequestLike)

Many: TypeAlias = Iterable[T] | AsyncIterable[T]

_END: Final[Any] = object()
_YIELD_EVERY: Final = 20  # calls begun in one turn of the event loop


def check_many(given: object, concurrency: object = 1) -> None:
    """
    Check what is to be called.

    Raises:
        ConfigurationError: If *given* is a single request, or nothing to iterate over; or if *concurrency* is no whole
            number greater than zero.
    """
    single = isinstance(given, str | bytes | Mapping | Request)
    if single or not isinstance(given, Iterable | AsyncIterable):
        message = f"requests is a {type(given).__name__}{', a single request' if single else ''}."
        raise ConfigurationError(message, field="requests", hint="Give a list, a generator or an async generator.")
    if not isinstance(concurrency, int) or not concurrency > 0:
        message = f"concurrency is {concurrency!r}."
        raise ConfigurationError(message, field="concurrency", hint="Give a whole number greater than zero.")


async def iterate(given: Many[T]) -> AsyncIterator[T]:
    """Yield what an iterable of either kind gives."""
    if isinstance(given, AsyncIterable):
        async for each in given:
            yield each
    else:
        for each in given:
            yield each


async def fan_out(
    given: Many[T],
    call: Callable[[T], Awaitable[Any]],
    *,
    start: StartTask,
    concurrency: int,
    ordered: bool = False,
    stop_on_error: bool = False,
) -> AsyncGenerator[tuple[T, Any | EntraError]]:
    """
    Yield each of *given* with what *call* returned for it, or with the error it raised.

    Nothing is left behind when this ends, however it ends. If *given* fails, what is under way is yielded first.

    Args:
        given: What to call with.
        call: Makes one call.
        start: Starts a task that ends with the Session at the latest.
        concurrency: How many are taken from *given* and not yet yielded, at most.
        ordered: Whether to yield in the order of *given*, rather than as they end.
        stop_on_error: Whether to raise the first error instead of yielding it.

    Raises:
        ClosedError: If the Session is closed meanwhile.
        EntraError: The first one, with *stop_on_error*.
    """
    slots = asyncio.Semaphore(concurrency)
    ready: asyncio.Queue[asyncio.Task[tuple[T, Any]] | None] = asyncio.Queue()
    running: set[asyncio.Task[tuple[T, Any]]] = set()

    async def run(each: T) -> tuple[T, Any]:
        try:
            return each, await call(each)
        except ClosedError:  # the end of everything, not of one call
            raise
        except EntraError as error:
            return each, error

    started = count(1)

    async def feed() -> None:
        source = iterate(given)
        try:
            while True:
                await slots.acquire()
                each = await anext(source, _END)
                if each is _END:
                    return
                task = start(run(each), name="entra_async call")
                running.add(task)
                if next(started) % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
                if ordered:
                    ready.put_nowait(task)
                else:
                    task.add_done_callback(ready.put_nowait)
        finally:
            ready.put_nowait(None)

    feeder = start(feed(), name="entra_async calls")
    fed = False
    try:
        while running or not fed:
            task = await ready.get()
            if task is None:
                fed = True
                continue
            each, outcome = await finish(task)
            running.discard(task)
            slots.release()
            if stop_on_error and isinstance(outcome, EntraError):
                raise outcome
            yield each, outcome
        await finish(feeder)
    finally:
        await cancel_all([feeder, *running])


def invoke_many(
    requests: Many[GivenT],
    invoke: Callable[[Request], Awaitable[Any]],
    *,
    start: StartTask,
    concurrency: int,
    ordered: bool,
    stop_on_error: bool,
) -> AsyncGenerator[tuple[GivenT, Any | EntraError]]:
    """
    Yield each of *requests* with its result or its error; see :meth:`entra_async.Connection.invoke_many`.

    Args:
        requests: What is called.
        invoke: Makes one call.
        start: See :func:`fan_out`.
        concurrency: See :func:`fan_out`.
        ordered: See :func:`fan_out`.
        stop_on_error: See :func:`fan_out`.

    Raises:
        ConfigurationError: If *requests* or *concurrency* are of no use.
    """
    check_many(requests, concurrency)

    async def call(given: GivenT) -> Any:
        request = as_request(given)
        if request.depends_on:
            message = "A request depends on another one, which only a batch can do."
            raise ConfigurationError(message, field="depends_on", hint="Use batch().")
        return await invoke(request)

    return fan_out(requests, call, start=start, concurrency=concurrency, ordered=ordered, stop_on_error=stop_on_error)
