"""The verbs of a Session and of a connection: invoke, stream, delta, and many calls at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, Final, Literal, TypeVar, Unpack, cast, overload

from entra_async.calls.background_tasks import StartTask
from entra_async.calls.context import CallContext
from entra_async.calls.delta.query import Delta
from entra_async.calls.delta.state import DeltaStore
from entra_async.calls.fan_out import Many, invoke_many
from entra_async.calls.paging.pager import Pager, PageSource
from entra_async.calls.paging.stream import Stream
from entra_async.calls.prepare import check_call, prepare, prepare_path
from entra_async.calls.request import (
    CALL_OPTIONS,
    READ_OPTIONS,
    CallOptions,
    ReadOptions,
    Request,
    RequestLike,
    make_request,
)
from entra_async.errors import ConfigurationError, EntraError
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import Page, item_type, name_of
from entra_async.rules.http.paths import Path
from entra_async.rules.paging.changes import Change, is_delta
from entra_async.rules.paging.position import Position, fingerprint, unpack

__all__ = ("ContextVerbs", "Verbs")

T = TypeVar("T")
GivenT = TypeVar("GivenT", bound=RequestLike)

_DELTA_OPTIONS: Final = ("state", "minimal", "latest")


class Verbs(ABC):
    """
    Calls services: what a Session and a connection have in common.

    A verb finds its connection by ``service=``; on a connection, that can only be the connection's own.
    """

    _concurrency = 100

    @abstractmethod
    def _find(self, service: str | None) -> CallContext:
        """Return the connection of that name, or the default one."""

    @property
    @abstractmethod
    def _start(self) -> StartTask:
        """Starts a task that ends with the Session at the latest."""

    @overload
    async def invoke(
        self, path: Path, *, raw: Literal[True], type: Any = None, **options: Unpack[CallOptions]
    ) -> Response: ...

    @overload
    async def invoke(
        self, path: Path, *, type: type[T], raw: Literal[False] = False, **options: Unpack[CallOptions]
    ) -> T: ...

    @overload
    async def invoke(
        self, path: Path, *, type: Any = None, raw: bool = False, **options: Unpack[CallOptions]
    ) -> Any: ...

    async def invoke(self, path: Path, **options: Any) -> Any:
        """
        Call a service once, and follow a collection to its end.

        Args:
            path: Below the service's root, such as ``"users/ada@contoso.com"``, as the docs or Graph Explorer have it:
                it may hold a query, and what is not escaped yet is escaped. Or its segments, each escaped as a whole:
                ``["users", upn, "memberOf"]``. A link that the service made (absolute, below the same root) is taken
                as it is.
            raw: ``True`` for the :class:`Response` instead of its value.
            type: What the value is decoded into, a msgspec Struct, say: ``type=User`` for one object,
                ``type=list[User]`` for every item of a collection.
            method: HTTP method; ``"GET"`` by default.
            query: Name to text, number, boolean, date, or list; escaped here, so write literals as they are.
            body: Sent as JSON; ``str`` and ``bytes`` are sent as they are and need *content_type*.
            headers: Sent with every page, over the service's own.
            content_type: The type of the body.
            parameters: Values for the parameters of the service's URL, such as ``{"VaultName": "contoso"}``.
            paging: ``False`` for the first page only.
            required_scopes: Permissions that the call needs: if the token says that it lacks one, nothing is sent.
            timeout: Seconds each request may take in all, waits and repetitions included; 300 by default.
            idempotent: ``True`` if a POST or PATCH may be sent again although it may have acted.
            service: Which connection of a Session; the default one if left out.
            **options: The above, by name.

        Returns:
            The decoded value: a dict, or a list of every item of a collection; ``None`` if there is no body.

        Raises:
            ConfigurationError: If the service is not connected, or an argument cannot be sent. Nothing was.
            APIStatusError: If the service answers with an error; there is a class for each usual status.
            TransportError: If no complete response arrives; ``RequestTimeoutError`` if time ran out.
            UnsafeLinkError: If a link leads to another host. Nothing was sent there.
            PagingError: If a link leads to a page that was read before.
            DecodeError: If the response is not the JSON, or not the *type*, that was asked for.
            AuthenticationError: If there is no token; ``ConsentRequiredError`` if it lacks one of *required_scopes*.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        if options:
            return await self.invoke_request(make_request(path, options, CALL_OPTIONS))
        # What most calls are has a way of its own, which is as short as can be.
        context = self._find(None)
        if context.access.is_closed:
            await context.access.check(None)
        prepared = prepare_path(context.base_url, path)
        response = await context.pipeline.send(prepared)
        if context.service.raw_only:
            return response
        value = response.read()
        if not isinstance(value, Page):
            return value
        return await _read_pages(context, Request(path), prepared, value)

    async def invoke_request(self, request: Request) -> Any:
        """
        Make the call that *request* describes: :meth:`invoke` with its values.

        Raises:
            EntraError: Whatever :meth:`invoke` raises.
        """
        context = self._find(request.service)
        prepared = prepare(context.base_url, request)
        if request.required_scopes is not None or context.access.is_closed:
            await context.access.check(request.required_scopes)
        response = await context.pipeline.send(prepared, timeout_s=request.timeout, idempotent=request.idempotent)
        if request.raw or context.service.raw_only:
            return response
        value = response.read(request.type)
        if not isinstance(value, Page):
            return value
        return await _read_pages(context, request, prepared, value)

    @overload
    def invoke_many(
        self,
        requests: Many[Request[T]],
        *,
        ordered: bool = False,
        concurrency: int | None = None,
        stop_on_error: bool = False,
    ) -> AsyncGenerator[tuple[Request[T], T | EntraError]]: ...

    @overload
    def invoke_many(
        self,
        requests: Many[GivenT],
        *,
        ordered: bool = False,
        concurrency: int | None = None,
        stop_on_error: bool = False,
    ) -> AsyncGenerator[tuple[GivenT, Any | EntraError]]: ...

    def invoke_many(
        self,
        requests: Many[Any],
        *,
        ordered: bool = False,
        concurrency: int | None = None,
        stop_on_error: bool = False,
    ) -> AsyncGenerator[tuple[Any, Any]]:
        """
        Make many calls at once, and yield each request with its result as soon as that is known.

        *requests* may be endless: no more are taken from it than are under way. One that fails yields its error, and
        the others go on. If *requests* itself fails, what is under way is yielded first. A loop that is left early
        leaves no request behind.

        Args:
            requests: Requests, paths, or mappings of the names a :class:`~entra_async.Request` has; a list, a
                generator or an async generator.
            ordered: Whether to yield in their order, rather than as they end. A slow one then holds up the others.
            concurrency: How many are taken and not yet yielded, at most; 100 by default, 1,000 on the view that
                :meth:`entra_async.Connection.batching` gives.
            stop_on_error: Whether to raise the first error, and to end the calls under way.

        Yields:
            The request, the very object that was given, and what :meth:`invoke` returns for it or the error it raises:
            ``isinstance(result, EntraError)`` tells.

        Raises:
            ConfigurationError: If *requests* or *concurrency* are of no use.
            ClosedError: If the Session is closed, or open in another event loop.

        Example:
            ::

                paths = (f"users/{user['id']}/memberOf" async for user in graph.stream("users"))
                async for path, groups in graph.invoke_many(paths):
                    ...
        """
        return invoke_many(
            requests,
            self.invoke_request,
            start=self._start,
            concurrency=self._concurrency if concurrency is None else concurrency,
            ordered=ordered,
            stop_on_error=stop_on_error,
        )

    @overload
    def stream(
        self, path: Path, *, type: type[T], start: str | None = None, **options: Unpack[ReadOptions]
    ) -> Stream[T]: ...

    @overload
    def stream(
        self, path: Path, *, type: Any = None, start: str | None = None, **options: Unpack[ReadOptions]
    ) -> Stream[Any]: ...

    def stream(
        self,
        path: Path,
        *,
        type: Any = None,  # noqa: A002 - the name msgspec's users know
        start: str | None = None,
        **options: Unpack[ReadOptions],
    ) -> Stream[Any]:
        """
        Give every item of a collection, each once and in order: ``async for user in graph.stream("users")``.

        The next page is fetched while this one is used, and never more than that: memory stays flat over millions of
        items. A loop that is left early leaves no request behind. When a page token has expired, the query is
        restarted, at most three times, and what was given is left out.

        Args:
            path: See :meth:`invoke`.
            type: What each item is decoded into.
            start: The ``position`` of an earlier stream of the same path and query: it goes on there.
            query: See :meth:`invoke`.
            headers: Sent with every page.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds each page may take in all; 300 by default.
            service: See :meth:`invoke`.

        Raises:
            ConfigurationError: If an argument cannot be sent, or *start* is of another query.
            PagingError: If the response is no collection, or a link leads to a page that was read before.
            EntraError: Whatever :meth:`invoke` raises.
        """
        request = make_request(path, cast("Mapping[str, Any]", options), READ_OPTIONS, own=("type", "start"))
        context = self._find(request.service)
        prepared = context.prepare(request)
        check_call(type, None)
        item = item_type(type)
        if item is not None:
            message = f"type is {type!r}, but a stream gives items."
            raise ConfigurationError(message, field="type", hint=f"Use type={name_of(item)}.")
        if context.service.raw_only:
            message = f"The responses of {context.service.name!r} are not decoded, so there are no items to stream."
            raise ConfigurationError(message, field="service", hint="Use invoke() and read the Response.")
        begin = None if start is None else unpack(start, query=fingerprint(prepared.url))
        return Stream(_pager(context, request, prepared, type, begin=begin))

    def delta(
        self,
        path: Path,
        *,
        state: DeltaStore,
        minimal: bool = False,
        latest: bool = False,
        **options: Unpack[ReadOptions],
    ) -> AsyncGenerator[Change]:
        """
        Give every change since *state* was saved: ``async for change in graph.delta("users/delta", state=…)``.

        With a new state everything is given. The state is saved when the changes of a page were used, that is, when the
        first of the next page is asked for: a run that is cut off gives its last page again, and loses nothing. An
        object may come more than once; what comes last is how it is.

        When the service's own state has expired, a full synchronization follows, once, and what is missing from it is
        given as removed, with ``derived=True``.

        Args:
            path: A delta function, such as ``"users/delta"``.
            state: Where the checkpoint is kept: ``DeltaState("users.delta")``, or a store of one's own. One for
                each path and query.
            minimal: ``True`` for only the properties that changed, after the full synchronization
                (``Prefer: return=minimal``).
            latest: ``True`` to begin now, without the objects that exist: a new state gives nothing the first time.
            query: Of the first request, such as ``{"$select": "displayName"}``; the service keeps it.
            headers: Sent with every page.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds each page may take in all; 300 by default.
            service: See :meth:`invoke`.

        Raises:
            ConfigurationError: If *path* is no delta function, or *state* belongs to another query, tenant or user.
                Nothing was sent, and the state is as it was.
            StoreError: If the state is damaged, cannot be saved, or was moved on by another process.
            PagingError: If a link leads to a page that was read before, or the pages end without a delta link.
            GoneError: If a full synchronization is demanded during one.
            EntraError: Whatever :meth:`invoke` raises.

        Sources:
            https://learn.microsoft.com/en-us/graph/delta-query-overview
        """
        request = make_request(path, cast("Mapping[str, Any]", options), READ_OPTIONS, own=_DELTA_OPTIONS)
        context = self._find(request.service)
        prepared = context.prepare(request)
        if not is_delta(prepared.url):
            message = f"path leads to {prepared.where}, which is no delta function."
            raise ConfigurationError(message, field="path", hint="Add it to the collection: 'users/delta'.")
        if not all(callable(getattr(state, name, None)) for name in ("load", "save", "missing")):
            message = f"state is a {state.__class__.__name__}."
            raise ConfigurationError(message, field="state", hint='Give a DeltaState("users.delta"), or a store.')
        return Delta(context, request, prepared, state, minimal=minimal, latest=latest).changes()


class ContextVerbs(Verbs):
    """
    The verbs of one connection.

    Attributes:
        context: The connection.

    Args:
        context: See above.
        concurrency: How many calls of ``invoke_many`` are under way at once, by default.
    """

    def __init__(self, context: CallContext, *, concurrency: int = 100) -> None:
        self.context = context
        self._concurrency = concurrency

    def _find(self, service: str | None) -> CallContext:
        if service is not None:
            self.context.check_service(service)
        return self.context

    @property
    def _start(self) -> StartTask:
        return self.context.start


async def _read_pages(context: CallContext, request: Request, prepared: PreparedRequest, first: Page) -> list[Any]:
    if not request.paging:
        return first.items
    pager = _pager(context, request, prepared, item_type(request.type), repeatable=prepared.method == "GET")
    if not pager.follows(first):
        return first.items
    items: list[Any] = []
    async with aclosing(pager.pages(first)) as pages:
        async for page in pages:
            items += page
    return items


def _pager(
    context: CallContext,
    request: Request,
    prepared: PreparedRequest,
    kind: Any,
    *,
    repeatable: bool = True,
    begin: Position | None = None,
) -> Pager:
    async def fetch(url: str) -> Response:
        return await context.pipeline.send(prepared.to(url), timeout_s=request.timeout)

    source = PageSource(
        url=prepared.url,
        fetch=fetch,
        start=context.start,
        sleep=context.clock.sleep,
        check=partial(context.access.check, request.required_scopes),
        emit=context.emit,
        kind=None if kind is None else list[kind],
        item_key=context.service.item_key,
        page_sizes=context.service.page_sizes,
        repeatable=repeatable,
    )
    return Pager(source, begin)
