"""Many calls in few requests: ``$batch``, on demand and automatically."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any, Final, TypeVar, overload

from anyio import to_thread

from entra_async.calls.batch.batcher import Batcher
from entra_async.calls.context import CallContext
from entra_async.calls.fan_out import Many, check_many, fan_out, iterate
from entra_async.calls.request import Request, RequestLike, as_request
from entra_async.calls.verbs import ContextVerbs, Verbs
from entra_async.errors import ConfigurationError, EntraError, FailedDependencyError
from entra_async.rules.batch.arrangement import MAX_ITEMS, check_item, order_requests

__all__ = ("BatchVerbs",)

T = TypeVar("T")

_IN_FLIGHT: Final = 50 * MAX_ITEMS
_WINDOW_S: Final = 0.001  # for those that come back from a wait at the same moment
_YIELD_EVERY: Final = 100
_IN_THREAD_ABOVE: Final = 5_000


class BatchVerbs(Verbs):
    """The verbs of a service that takes many requests in one."""

    @overload
    async def batch(self, requests: Many[Request[T]], *, service: str | None = None) -> list[T | EntraError]: ...

    @overload
    async def batch(self, requests: Many[RequestLike], *, service: str | None = None) -> list[Any | EntraError]: ...

    async def batch(self, requests: Many[Any], *, service: str | None = None) -> list[Any]:
        """
        Make many calls in batches of 20, several of them at once, and return the result of each, in order.

        Each request is one by itself: it has its own headers, its own time, its own ``Retry-After``, and its own
        result. One that has its response is never sent again, and a POST that may have acted is not, either. What a
        collection holds beyond its first page is fetched as :meth:`invoke` does.

        A request with ``depends_on`` is sent when all those it names have succeeded.

        Args:
            requests: Requests, paths, or mappings of the names a :class:`~entra_async.Request` has.
            service: Which connection of a Session; the default one if left out.

        Returns:
            For each request, at its index, what :meth:`invoke` returns, or the error it raises:
            ``isinstance(result, EntraError)`` tells.

        Raises:
            ConfigurationError: If a request cannot be sent, two have the same id, one depends on none there is or on
                itself by a detour, or the service takes no batches. Nothing was sent.
            ClosedError: If the Session is closed, or open in another event loop.

        Sources:
            https://learn.microsoft.com/en-us/graph/json-batching
        """
        check_many(requests)
        context = self._find(service)
        items = ContextVerbs(context.over(_batcher(context, window_s=_WINDOW_S)))
        calls = await _read(context, requests)
        # So many would hold up the loop for a good part of a second.
        order = (
            await to_thread.run_sync(order_requests, calls) if len(calls) > _IN_THREAD_ABOVE else order_requests(calls)
        )
        ended = {
            dependency: asyncio.Event() for dependencies in order.dependencies.values() for dependency in dependencies
        }
        failed: dict[int, EntraError] = {}

        async def call(index: int) -> Any:
            try:
                for dependency in order.dependencies.get(index, ()):
                    await ended[dependency].wait()
                    if dependency in failed:
                        raise _unmet(context, calls[index], calls[dependency].id, failed[dependency])
                return await items.invoke_request(calls[index])
            except EntraError as error:
                failed[index] = error
                raise
            finally:
                if index in ended:
                    ended[index].set()

        results: list[Any] = [None] * len(calls)
        async with aclosing(fan_out(order.sequence, call, start=context.start, concurrency=_IN_FLIGHT)) as outcomes:
            async for index, result in outcomes:
                results[index] = result
        return results

    def batching(self, *, window_s: float = 0.003, service: str | None = None) -> Verbs:
        """
        Return a view of a connection whose calls are put into batches automatically.

        Reads that are made within *window_s* of each other are sent as one ``$batch``; each caller gets its own
        response or error, as if it had called alone. A single read, a write and a file are sent by themselves.

        Args:
            window_s: Seconds a read waits for others, 20 of them at most.
            service: Which connection of a Session; the default one if left out.

        Raises:
            ConfigurationError: If the service takes no batches, or *window_s* is not between zero and one second.

        Example:
            ::

                batching = graph.batching()
                ada, bob = await asyncio.gather(batching.invoke("users/ada"), batching.invoke("users/bob"))
        """
        if not isinstance(window_s, int | float) or not 0 <= window_s <= 1:
            message = f"window_s is {window_s!r}."
            raise ConfigurationError(message, field="window_s", hint="Give a few milliseconds, such as 0.003.")
        context = self._find(service)
        batcher = _batcher(context, window_s=window_s, automatic=True)
        return ContextVerbs(context.over(batcher), concurrency=_IN_FLIGHT)


def _batcher(context: CallContext, *, window_s: float, automatic: bool = False) -> Batcher:
    if not context.service.batches:
        message = f"{context.service.name!r} takes no batches."
        hint = "Use invoke_many(). A service of your own that has a $batch needs batches=True."
        raise ConfigurationError(message, field="service", hint=hint)
    return Batcher(
        context.pipeline.authorized_transport,
        root=context.base_url.base(None),
        start=context.start,
        window_s=window_s,
        automatic=automatic,
    )


async def _read(context: CallContext, requests: Many[RequestLike]) -> list[Request]:
    calls: list[Request] = []
    async for each in iterate(requests):
        index = len(calls)
        if index % _YIELD_EVERY == _YIELD_EVERY - 1:
            await asyncio.sleep(0)
        try:
            request = as_request(each)
            prepared = context.prepare(request)
            check_item(prepared.method, prepared.url, prepared.headers, prepared.body)
        except ConfigurationError as error:
            message = f"Request {index} of the batch: {error.args[0]}"
            raise ConfigurationError(message, field=error.field, hint=error.hint) from None
        calls.append(request)
    return calls


def _unmet(context: CallContext, request: Request, dependency: str | None, cause: EntraError) -> FailedDependencyError:
    prepared = context.prepare(request)
    message = (
        f"{prepared.method} {prepared.where} was not sent: it depends on {dependency!r}, which failed "
        f"({type(cause).__name__})."
    )
    error = FailedDependencyError(message, method=prepared.method, url=prepared.where, attempts=0)
    error.depends_on = dependency
    return error
