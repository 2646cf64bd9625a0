"""
Requests that travel together: each is sent, retried and answered by itself, as if ``$batch`` were its connection.

That is all a batch is here. What a request may do after a 429, a lost connection or a 401 is decided for each item by
the caller that decides it for every request; an envelope is sent once and never again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Final, final

from entra_async.calls.background_tasks import StartTask
from entra_async.errors import ClosedError, DecodeError, RequestTimeoutError
from entra_async.rules.batch.arrangement import MAX_BYTES, MAX_ITEMS, is_plain_read
from entra_async.rules.batch.format import encode_batch, encode_item, read_answers, relative_url
from entra_async.rules.http.urls import strip_query
from entra_async.transport.messages import HTTPRequest, HTTPResponse, ResponseHeaders, Transport

__all__ = ("Batcher",)

_GOOD: Final = 200
# The service did not take the batch as a whole, and ran nothing of it: one item may be to blame for all.
_REFUSED: Final = frozenset({400, 413})
# What the gateway writes on the envelope only.
_GATEWAY: Final = ("request-id", "Date", "x-ms-ags-diagnostic")


@dataclass(slots=True, eq=False)
class _PendingItem:
    """
    One request's place in an envelope.

    Attributes:
        request: The request.
        number: Its id there.
        item: How it is written there.
        ends_at: When its time is over, on the loop's clock.
        answer: What comes of it.
        envelope: The task that carries it, once it has left.
        company: Who travels with it.
    """

    request: HTTPRequest
    number: str
    item: bytes
    ends_at: float
    answer: asyncio.Future[HTTPResponse]
    envelope: asyncio.Task[None] | None = None
    company: Sequence[_PendingItem] = ()


@final
class Batcher:
    """
    Puts requests into batches: an envelope leaves when it is full, or when nothing came for a while.

    Args:
        carrier: Sends a request once, with a token.
        root: The service's root.
        start: Starts a task that ends with the Session at the latest.
        window_s: Seconds an envelope waits for more after its first request; 0 for one turn of the event loop.
        automatic: Whether nobody asked for a batch: then only plain reads travel in one, and never one alone.
    """

    def __init__(
        self, carrier: Transport, *, root: str, start: StartTask, window_s: float = 0.0, automatic: bool = False
    ) -> None:
        self._carrier = carrier
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
        Send *request* in the next envelope, and return what it says about it; see ``Transport``.

        Raises:
            DecodeError: If the answer to the envelope does not say.
        """
        url = relative_url(request.url, self._root)
        if url is None or (self._automatic and not is_plain_read(request.method, url, request.body)):
            return await self._carrier.send(request, within_s=within_s)
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what is left of a loop that has ended waits for nothing
            self._loop, self._open, self._bytes, self._timer = loop, [], 0, None
        number = str(next(self._numbers))
        item = encode_item(number, request.method, url, request.headers, request.body)
        seat = _PendingItem(request, number, item, loop.time() + within_s, loop.create_future())
        self._take(seat, loop)
        limit = loop.call_at(seat.ends_at, _expire, seat)
        try:
            return await seat.answer
        finally:
            limit.cancel()
            if seat.answer.done() and not seat.answer.cancelled():
                seat.answer.exception()  # heard, also by whoever was cancelled at that moment
            self._leave(seat)

    def _take(self, seat: _PendingItem, loop: asyncio.AbstractEventLoop) -> None:
        if self._open and self._bytes + len(seat.item) > MAX_BYTES:
            self._flush()
        self._open.append(seat)
        self._bytes += len(seat.item) + 1
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
        seats, self._open, self._bytes, self._timer = self._open, [], 0, None
        if seats:
            self._depart(seats, together=len(seats) > 1 or not self._automatic)

    def _depart(self, seats: Sequence[_PendingItem], *, together: bool) -> None:
        work = self._carry(seats) if together else self._carry_alone(seats[0])
        task = self._start(work, name="entra_async batch")
        for seat in seats:
            seat.envelope, seat.company = task, seats
        task.add_done_callback(partial(_settle, seats))

    async def _carry_alone(self, seat: _PendingItem) -> None:
        within_s = seat.ends_at - asyncio.get_running_loop().time()
        _answer(seat, await self._carrier.send(seat.request, within_s=within_s))

    async def _carry(self, seats: Sequence[_PendingItem]) -> None:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = encode_batch([seat.item for seat in seats])
        within_s = max(seat.ends_at for seat in seats) - asyncio.get_running_loop().time()
        answer = await self._carrier.send(HTTPRequest("POST", f"{self._root}/$batch", headers, body), within_s=within_s)
        if answer.status in _REFUSED and len(seats) > 1:
            for seat in seats:
                self._depart([seat], together=False)
            return
        if answer.status != _GOOD:  # each item makes of it what it would make of it alone
            for seat in seats:
                _answer(seat, answer)
            return
        gateway = {name: answer.headers[name] for name in _GATEWAY if name in answer.headers}
        said = read_answers(answer.body, [seat.number for seat in seats])
        for seat in seats:
            item = said[seat.number]
            if isinstance(item, str):
                message = f"The answer to a batch is of no use: {item}."
                _fail(seat, DecodeError(message, hint="This is a fault of the service; what became of it is unknown."))
            else:
                _answer(seat, HTTPResponse(item.status, ResponseHeaders({**gateway, **item.headers}), item.body))

    def _leave(self, seat: _PendingItem) -> None:
        if seat.envelope is None:
            if seat in self._open:
                self._open.remove(seat)
                self._bytes -= len(seat.item) + 1
        elif not seat.envelope.done() and all(each.answer.done() for each in seat.company):
            seat.envelope.cancel()  # nobody waits for it any more


def _answer(seat: _PendingItem, answer: HTTPResponse) -> None:
    if not seat.answer.done():
        seat.answer.set_result(answer)


def _fail(seat: _PendingItem, error: BaseException) -> None:
    if not seat.answer.done():
        seat.answer.set_exception(error)


def _expire(seat: _PendingItem) -> None:
    message = f"{seat.request.method} {strip_query(seat.request.url)}: no answer came in time."
    _fail(seat, RequestTimeoutError(message, sent=seat.envelope is not None))


def _settle(seats: Sequence[_PendingItem], envelope: asyncio.Task[None]) -> None:
    error: BaseException | None
    if envelope.cancelled():
        message = "The Session was closed while a request was on its way."
        error = ClosedError(message, hint="Close the Session after the last call has ended.")
    else:
        error = envelope.exception()
    if error is not None:
        for seat in seats:
            _fail(seat, copy(error))  # each caller adds its own facts
