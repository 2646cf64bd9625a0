"""
Batches requests: each is retried and gets its response by itself, as if ``$batch`` were its connection.

What is done after a 429, a lost connection or a 401 is decided for each item by the pipeline, as for every request; a
batch is sent once and never again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, final

from multidict import CIMultiDict, CIMultiDictProxy

from entra_async.calls.background_tasks import StartTask
from entra_async.errors import ClosedError, DecodeError, RequestTimeoutError, TransportError
from entra_async.rules.batch.arrangement import MAX_BYTES, MAX_ITEMS, is_plain_read
from entra_async.rules.batch.format import MISSING, encode_batch, encode_item, read_responses, relative_url
from entra_async.rules.http.urls import strip_query
from entra_async.transport.http.messages import HTTPRequest, HTTPResponse, Transport

__all__ = ("Batcher",)

_GOOD: Final = 200
# The service did not take the batch as a whole, and ran nothing of it: one item may be to blame for all.
_NOT_RUN: Final = frozenset({400, 413})
# Headers that the gateway sets on the batch only.
_GATEWAY: Final = ("request-id", "Date", "x-ms-ags-diagnostic")


@dataclass(slots=True, eq=False)
class _PendingItem:
    """
    One request of a batch.

    Attributes:
        request: The request.
        number: Its id in the batch.
        encoded: Its JSON in the batch.
        ends_at: When its time is over, on the loop's clock.
        response: Its response.
        batch: The task that sends the batch, once that has begun.
        others: All items of the same batch.
    """

    request: HTTPRequest
    number: str
    encoded: bytes
    ends_at: float
    response: asyncio.Future[HTTPResponse]
    batch: asyncio.Task[None] | None = None
    others: Sequence[_PendingItem] = ()


@final
class Batcher:
    """
    Puts requests into batches: one is sent when it is full, or when nothing came for a while.

    Args:
        transport: Sends a request once, with a token.
        root: The service's root.
        start: Starts a task that ends with the Session at the latest.
        window_s: Seconds a batch waits for more after its first request; 0 for one turn of the event loop.
        automatic: Whether no batch was requested: then only plain reads are put into one, and never one alone.
    """

    def __init__(
        self, transport: Transport, *, root: str, start: StartTask, window_s: float = 0.0, automatic: bool = False
    ) -> None:
        self._transport = transport
        self._root = root
        self._start = start
        self._window_s = window_s
        self._automatic = automatic
        self._numbers = count(1)
        self._open: list[_PendingItem] = []
        self._bytes = 0
        self._timer: asyncio.Handle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """
        Send *request* in the next batch, and return its own response; see ``Transport``.

        Raises:
            TransportError: If the response to the batch has none.
            DecodeError: If it is of no use.
        """
        url = relative_url(request.url, self._root)
        if url is None or (self._automatic and not is_plain_read(request.method, url, request.body)):
            return await self._transport.send(request, within_s=within_s)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what is left of a loop that has ended waits for nothing
            self._loop, self._open, self._bytes, self._timer = loop, [], 0, None
        number = str(next(self._numbers))
        encoded = encode_item(number, request.method, url, request.headers, request.body)
        item = _PendingItem(request, number, encoded, loop.time() + within_s, loop.create_future())
        self._add(item, loop)
        limit = loop.call_at(item.ends_at, _expire, item)
        try:
            return await item.response
        finally:
            limit.cancel()
            if item.response.done() and not item.response.cancelled():
                item.response.exception()  # retrieved, also where the caller was cancelled at that moment
            self._leave(item)

    def _add(self, item: _PendingItem, loop: asyncio.AbstractEventLoop) -> None:
        if self._open and self._bytes + len(item.encoded) > MAX_BYTES:
            self._flush()
        self._open.append(item)
        self._bytes += len(item.encoded) + 1
        if len(self._open) == MAX_ITEMS:
            self._flush()
        elif self._timer is None:
            # A turn of the loop is enough for all who were started, or woken, together.
            self._timer = (
                loop.call_later(self._window_s, self._flush) if self._window_s else loop.call_soon(self._flush)
            )

    def _flush(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        items, self._open, self._bytes, self._timer = self._open, [], 0, None
        if items:
            self._start_batch(items, together=len(items) > 1 or not self._automatic)

    def _start_batch(self, items: Sequence[_PendingItem], *, together: bool) -> None:
        work = self._send_batch(items) if together else self._send_alone(items[0])
        task = self._start(work, name="entra_async batch")
        for item in items:
            item.batch, item.others = task, items
        task.add_done_callback(partial(_settle, items))

    async def _send_alone(self, item: _PendingItem) -> None:
        within_s = item.ends_at - asyncio.get_running_loop().time()
        _respond(item, await self._transport.send(item.request, within_s=within_s))

    async def _send_batch(self, items: Sequence[_PendingItem]) -> None:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = encode_batch([item.encoded for item in items])
        within_s = max(item.ends_at for item in items) - asyncio.get_running_loop().time()
        request = HTTPRequest("POST", f"{self._root}/$batch", headers, body)
        response = await self._transport.send(request, within_s=within_s)
        if response.status in _NOT_RUN and len(items) > 1:
            for item in items:
                self._start_batch([item], together=False)
            return
        if response.status != _GOOD:  # each item handles it as it would handle it alone
            for item in items:
                _respond(item, response)
            return
        gateway = {name: response.headers[name] for name in _GATEWAY if name in response.headers}
        responses = read_responses(response.body, [item.number for item in items])
        for item in items:
            own = responses[item.number]
            if own == MISSING:
                # As if the connection had been lost: a read is sent again, a write is not.
                message = (
                    f"{item.request.method} {item.request.where}: the response to the batch has none to this request."
                )
                hint = "The service may have acted: read the resource before you repeat it."
                _fail(item, TransportError(message, hint=hint))
            elif isinstance(own, str):
                message = f"The response to a batch is of no use: {own}."
                _fail(item, DecodeError(message, hint="This is a fault of the service; what became of it is unknown."))
            else:
                merged = CIMultiDictProxy(CIMultiDict({**gateway, **own.headers}))
                _respond(item, HTTPResponse(own.status, merged, own.body))

    def _leave(self, item: _PendingItem) -> None:
        if item.batch is None:
            if item in self._open:
                self._open.remove(item)
                self._bytes -= len(item.encoded) + 1
        elif not item.batch.done() and all(each.response.done() for each in item.others):
            item.batch.cancel()  # nobody waits for it any more


def _respond(item: _PendingItem, response: HTTPResponse) -> None:
    if not item.response.done():
        item.response.set_result(response)


def _fail(item: _PendingItem, error: BaseException) -> None:
    if not item.response.done():
        item.response.set_exception(error)


def _expire(item: _PendingItem) -> None:
    message = f"{item.request.method} {strip_query(item.request.url)}: no response came in time."
    _fail(item, RequestTimeoutError(message, sent=item.batch is not None))


def _settle(items: Sequence[_PendingItem], batch: asyncio.Task[None]) -> None:
    error: BaseException | None
    if batch.cancelled():
        message = "The Session was closed while a request was on its way."
        error = ClosedError(message, hint="Close the Session after the last call has ended.")
    else:
        error = batch.exception()
    if error is not None:
        for item in items:
            _fail(item, copy(error))  # each caller adds its own facts
