"""The verbs that read and write: one call, and every item of a collection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any, TypedDict, TypeVar

from entra_async.calls.channel import Channel
from entra_async.calls.delta.query import Delta
from entra_async.calls.delta.state import DeltaStore
from entra_async.calls.fan_out import Many, invoke_many
from entra_async.calls.paging.pager import Pager, PageSource
from entra_async.calls.paging.stream import Stream
from entra_async.calls.prepare import PreparedRequest, check_call
from entra_async.calls.request import Request, RequestLike
from entra_async.errors import ConfigurationError
from entra_async.rules.http.decoding import Page
from entra_async.rules.http.urls import strip_query
from entra_async.rules.paging.changes import Change, is_delta
from entra_async.rules.paging.position import Position, fingerprint, unpack

__all__ = ("DeltaOptions", "InvokeOptions", "StreamOptions", "Verbs")

GivenT = TypeVar("GivenT", bound=RequestLike)


class _CallOptions(TypedDict, total=False):
    query: Mapping[str, object] | None
    headers: Mapping[str, str] | None
    parameters: Mapping[str, str] | None
    required_scopes: Iterable[str] | None
    timeout: float | None


class DeltaOptions(_CallOptions, total=False):
    """What :meth:`Connection.delta` takes beside the path and the state."""

    minimal: bool
    latest: bool


class StreamOptions(_CallOptions, total=False):
    """What :meth:`Connection.stream` takes beside the path."""

    type: Any
    start: str | None


class InvokeOptions(_CallOptions, total=False):
    """What :meth:`Connection.invoke` takes beside the path."""

    type: Any
    method: str
    body: Any
    content_type: str | None
    paging: bool
    raw: bool
    idempotent: bool | None


class Verbs:
    """
    What can be done with a service that is signed in to.

    Args:
        channel: The way to the service.
        concurrency: How many calls of :meth:`invoke_many` are under way at once, unless it is told.
    """

    def __init__(self, channel: Channel, *, concurrency: int = 100) -> None:
        self._channel = channel
        self._concurrency = concurrency

    async def invoke(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Mapping[str, object] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        parameters: Mapping[str, str] | None = None,
        paging: bool = True,
        raw: bool = False,
        required_scopes: Iterable[str] | None = None,
        type: Any = None,  # noqa: A002 - the name msgspec's users know
        timeout: float | None = None,  # noqa: ASYNC109 - covers the waits between attempts, too
        idempotent: bool | None = None,
    ) -> Any:
        """
        Call the service once, and follow a collection to its end.

        Args:
            path: Below the service's root, such as ``"users/ada@contoso.com"``; may hold a query. A link that the
                service made (absolute, below the same root) is taken as it is.
            method: HTTP method.
            query: Name to text, number, boolean, date, or list; escaped here, so write literals as they are.
            body: Sent as JSON; ``str`` and ``bytes`` are sent as they are and need *content_type*.
            headers: Sent with every page, over the service's own.
            content_type: What the body is.
            parameters: Values for the parameters of the service's URL, such as ``{"VaultName": "contoso"}``.
            paging: ``False`` for the first page only.
            raw: ``True`` for the :class:`Response` instead of its value.
            required_scopes: Permissions that the call needs: if the token says that it lacks one, nothing is sent.
            type: What the value, or each item, is decoded into: a msgspec Struct, say.
            timeout: Seconds each request may take in all, waits and repetitions included; 300 by default.
            idempotent: ``True`` if a POST or PATCH may be sent again although it may have acted.

        Returns:
            The decoded value: a dict, or a list of every item of a collection; ``None`` if there is no body.

        Raises:
            ConfigurationError: If an argument cannot be sent. Nothing was.
            APIStatusError: If the service answers with an error; there is a class for each usual status.
            TransportError: If no complete answer arrives; ``RequestTimeoutError`` if time ran out.
            UnsafeLinkError: If a link leads to another host. Nothing was sent there.
            PagingError: If the pages go round in circles.
            DecodeError: If the answer is not the JSON, or not the *type*, that was asked for.
            AuthenticationError: If there is no token; ``ConsentRequiredError`` if it lacks one of *required_scopes*.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        check_call(type, timeout)
        channel = self._channel
        prepared = channel.prepare(
            path,
            method=method,
            query=query,
            headers=headers,
            body=body,
            content_type=content_type,
            parameters=parameters,
        )
        await channel.permit(required_scopes)
        response = await channel.send(prepared, timeout_s=timeout, idempotent=idempotent)
        if raw or channel.service.raw_only:
            return response
        value = response.read(type)
        if not isinstance(value, Page):
            return value
        if not paging:
            return value.items
        walk = self._walk(prepared, type, timeout, None, repeatable=prepared.method == "GET")
        if not walk.follows(value):
            return value.items
        items: list[Any] = []
        async with aclosing(walk.pages(value)) as pages:
            async for page in pages:
                items += page
        return items

    async def invoke_request(self, request: Request) -> Any:
        """
        Call the service as *request* says: :meth:`invoke` with its values.

        Raises:
            ConfigurationError: If it is for another service.
            EntraError: Whatever :meth:`invoke` raises.
        """
        self._check_service(request)
        return await self.invoke(
            request.path,
            method=request.method,
            query=request.query,
            body=request.body,
            headers=request.headers,
            content_type=request.content_type,
            parameters=request.parameters,
            paging=request.paging,
            raw=request.raw,
            required_scopes=request.required_scopes,
            type=request.type,
            timeout=request.timeout,
            idempotent=request.idempotent,
        )

    def invoke_many(
        self,
        requests: Many[GivenT],
        *,
        ordered: bool = False,
        concurrency: int | None = None,
        stop_on_error: bool = False,
    ) -> AsyncGenerator[tuple[GivenT, Any]]:
        """
        Make many calls at once, and yield each request with what became of it as soon as that is known.

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
            start=self._channel.start,
            concurrency=self._concurrency if concurrency is None else concurrency,
            ordered=ordered,
            stop_on_error=stop_on_error,
        )

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        required_scopes: Iterable[str] | None = None,
        type: Any = None,  # noqa: A002 - the name msgspec's users know
        timeout: float | None = None,
        start: str | None = None,
    ) -> Stream:
        """
        Give every item of a collection, each once and in order: ``async for user in graph.stream("users")``.

        The next page is fetched while this one is used, and never more than that: memory stays flat over millions of
        items. A loop that is left early leaves no request behind. When a page token has expired, the query is started
        over, at most three times, and what was given is left out.

        Args:
            path: See :meth:`invoke`.
            query: See :meth:`invoke`.
            headers: Sent with every page.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            type: What each item is decoded into.
            timeout: Seconds each page may take in all; 300 by default.
            start: The ``position`` of an earlier stream of the same path and query: it goes on there.

        Raises:
            ConfigurationError: If an argument cannot be sent, or *start* is of another query.
            PagingError: If the answer is no collection, or the pages go round in circles.
            EntraError: Whatever :meth:`invoke` raises.
        """
        check_call(type, timeout)
        prepared = self._channel.prepare(path, query=query, headers=headers, parameters=parameters)
        if self._channel.service.raw_only:
            message = f"The answers of {self._channel.service.name!r} are not decoded, so there are no items to stream."
            raise ConfigurationError(message, field="service", hint="Use invoke() and read the Response.")
        begin = None if start is None else unpack(start, query=fingerprint(prepared.url))
        return Stream(self._walk(prepared, type, timeout, required_scopes, begin=begin))

    def delta(
        self,
        path: str,
        *,
        state: DeltaStore,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        required_scopes: Iterable[str] | None = None,
        timeout: float | None = None,
        minimal: bool = False,
        latest: bool = False,
    ) -> AsyncGenerator[Change]:
        """
        Give every change since *state* was saved: ``async for change in graph.delta("users/delta", state=…)``.

        With a new state everything is given. The state is saved when the changes of a page were used, that is, when the
        first of the next page is asked for: a run that is cut off gives its last page again, and loses nothing. An
        object may come more than once; what comes last is how it is.

        When the service has forgotten its own state, everything is read again, once, and what is missing then is given
        as removed, with ``derived=True``.

        Args:
            path: A delta function, such as ``"users/delta"``.
            state: Where it is kept how far it came: ``DeltaState("users.delta")``, or a store of one's own. One for
                each path and query.
            query: Of the first request, such as ``{"$select": "displayName"}``; the service keeps it.
            headers: Sent with every page.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            timeout: Seconds each page may take in all; 300 by default.
            minimal: ``True`` for only the properties that changed, once everything was read
                (``Prefer: return=minimal``).
            latest: ``True`` to begin now, without what is there: a new state gives nothing the first time.

        Raises:
            ConfigurationError: If *path* is no delta function, or *state* belongs to another query, tenant or person.
                Nothing was sent, and the state is as it was.
            StoreError: If the state is damaged, cannot be saved, or was moved on by somebody else.
            PagingError: If the pages go round in circles, or end without a delta link.
            GoneError: If everything has to be read again while that is being done.
            EntraError: Whatever :meth:`invoke` raises.

        Sources:
            https://learn.microsoft.com/en-us/graph/delta-query-overview
        """
        check_call(None, timeout)
        prepared = self._channel.prepare(path, query=query, headers=headers, parameters=parameters)
        if not is_delta(path):
            message = f"path is {strip_query(path)!r}, which is no delta function."
            raise ConfigurationError(message, field="path", hint="Add it to the collection: 'users/delta'.")
        if not all(callable(getattr(state, name, None)) for name in ("load", "save", "missing")):
            message = f"state is a {state.__class__.__name__}."
            raise ConfigurationError(message, field="state", hint='Give a DeltaState("users.delta"), or a store.')
        return Delta(
            self._channel,
            prepared,
            state,
            permit=partial(self._channel.permit, required_scopes),
            timeout_s=timeout,
            minimal=minimal,
            latest=latest,
        ).changes()

    def _check_service(self, request: Request) -> None:
        channel, wanted = self._channel, request.service
        if wanted is not None and str(wanted).lower() not in {channel.name.lower(), channel.service.name.lower()}:
            message = f"The request is for {wanted!r}, but this is {channel.name!r}."
            raise ConfigurationError(message, field="service", hint="Use the Session's verb, or leave service= out.")

    def _prepare(self, request: Request) -> PreparedRequest:
        return self._channel.prepare(
            request.path,
            method=request.method,
            query=request.query,
            headers=request.headers,
            body=request.body,
            content_type=request.content_type,
            parameters=request.parameters,
        )

    def _walk(
        self,
        prepared: PreparedRequest,
        kind: Any,
        timeout_s: float | None,
        required_scopes: Iterable[str] | None,
        *,
        repeatable: bool = True,
        begin: Position | None = None,
    ) -> Pager:
        channel = self._channel
        collection = PageSource(
            url=prepared.url,
            fetch=partial(channel.follow, prepared, timeout_s=timeout_s),
            start=channel.start,
            sleep=channel.clock.sleep,
            permit=partial(channel.permit, required_scopes),
            tell=channel.tell,
            kind=kind,
            item_key=channel.service.item_key,
            page_sizes=channel.service.page_sizes,
            repeatable=repeatable,
        )
        return Pager(collection, begin)
