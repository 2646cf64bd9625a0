"""
The pager: every page of a collection, once, in order.

A link is followed as the service wrote it, with the headers of the first request; an empty page is followed like any
other; a link that was followed before is an error, since it would never end. When the page token in a link has expired,
the query is restarted, and what was yielded is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from operator import length_hint
from typing import Any, Final, final

from entra_async.calls.background_tasks import StartTask, cancel_all, finish
from entra_async.calls.paging.deduplicator import Deduplicator
from entra_async.calls.paging.rereading import read_page
from entra_async.errors import APIStatusError, PagingError
from entra_async.pipeline.response import Response
from entra_async.rules.http.decoding import Page
from entra_async.rules.http.links import check_link
from entra_async.rules.http.urls import strip_query
from entra_async.rules.paging.position import Position, fingerprint
from entra_async.rules.paging.restarts import needs_restart
from entra_async.rules.paging.skipping import next_page_url, skipped
from entra_async.telemetry.events import PagingRestarted

__all__ = ("MAX_RESTARTS", "PageSource", "Pager")

MAX_RESTARTS: Final = 3
"""How often one query is restarted, at most, before its expired page token is an error."""

_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class PageSource:
    """
    A collection that is read page by page.

    Attributes:
        url: The first page.
        fetch: GETs one URL.
        start: Starts a task that ends with the Session at the latest.
        sleep: Waits a number of seconds.
        check: Raises if it must not be read.
        emit: Called with a restart.
        kind: What each item is decoded into; ``None`` for dicts.
        item_key: The property that identifies its items.
        page_sizes: How many items a full page holds, where no link leads to the next.
        repeatable: Whether the query may be sent again.
    """

    url: str
    fetch: Callable[[str], Coroutine[Any, Any, Response]]
    start: StartTask
    sleep: Callable[[float], Awaitable[None]]
    check: Callable[[], Awaitable[None]]
    emit: Callable[[PagingRestarted], None]
    kind: Any
    item_key: str
    page_sizes: tuple[int, ...]
    repeatable: bool = True


@final
class Pager:
    """
    Reads a collection once, and knows how far it came.

    Args:
        source: The collection.
        begin: Where to begin; at the first page if left out.

    Raises:
        UnsafeLinkError: If *begin* leads to another host.

    Attributes:
        begun: Whether it is being read.
        restarts: How often the query was restarted.
    """

    def __init__(self, source: PageSource, begin: Position | None = None) -> None:
        self._source = source
        self._query = fingerprint(source.url)
        self._begin = begin or Position(self._query)
        self._url = check_link(self._begin.link or source.url, source=source.url)
        self._deduplicator = Deduplicator(
            source.item_key, log=source.repeatable and begin is None, contents=bool(source.page_sizes)
        )
        self._links: set[int] = set()
        self._linked = False  # whether the service has sent a link: it pages by links, then
        self.begun = False
        self.restarts = 0
        # The position: the page being yielded, the part of it that is new, and what of that is left.
        self._page: list[Any] = []
        self._new: list[Any] = []
        self._left: Iterator[Any] | None = None
        self._following: str | None = None

    @property
    def position(self) -> Position:
        """The position after the last item yielded."""
        if self._left is None:
            return self._begin
        yielded = len(self._new) - length_hint(self._left)
        if yielded == len(self._new):
            return Position(self._query, self._following or "", ended=self._following is None)
        last = self._new[yielded - 1]
        done = next(number for number, item in enumerate(self._page[yielded - 1 :], yielded) if item is last)
        return Position(self._query, self._url, done, self._fingerprint(last))

    async def items(self) -> AsyncGenerator[Any]:
        """Yield every new item; see :meth:`pages`. A pager is used once: for its items, or for its pages."""
        pages = self.pages()
        try:
            async for page in pages:
                self._left = iter(page)
                for item in self._left:
                    yield item
                del page
                self._finish_page()
        finally:
            await pages.aclose()

    async def pages(self, first: Page | None = None) -> AsyncGenerator[list[Any]]:
        """
        Yield the new items of every page, while the next page is already requested: two are in memory at most.

        Args:
            first: The first page, if it was read already.

        Raises:
            PagingError: If a response is no collection, or a link leads to a page that was read before.
            UnsafeLinkError: If a link leads to another host.
            APIStatusError: If a page is an error; also if its token has expired and the query cannot be restarted.
        """
        self.begun = True
        if self._begin.ended:
            return
        ahead: asyncio.Task[Response] | None = None
        try:
            if first is None:
                await self._source.check()
                current = await self._read(self._source.fetch(self._url), self._url)
            else:
                current = first, self._url
            done = self._begin.done
            while current is not None:
                page, url = current
                following = self._next(page, url)
                if following is not None:
                    ahead = self._source.start(self._source.fetch(following), name="entra_async next page")
                    # Let it be sent now: whoever uses the page may not let the event loop turn until that is used up.
                    await asyncio.sleep(0)
                items = page.items[self._count_yielded(page.items) :] if done else page.items
                new = self._deduplicator.deduplicate(items)
                if self._deduplicator.repeated and not self._linked:
                    raise self._link_loop(url, "sent a page again, as if $skip meant nothing to it")
                if new or not self.restarts:
                    self._move_to(url, page.items, new, following)
                    yield new
                self._finish_page()
                done = 0
                del current, page, items, new  # let the caller's page go before the next one is decoded
                if ahead is None or following is None:
                    return
                current = await self._read(finish(ahead), following)
                ahead = None
        finally:
            if ahead is not None:
                await cancel_all([ahead])

    def follows(self, page: Page) -> bool:
        """Return whether there is more after the first page."""
        return page.next_link is not None or self._skip(page, self._url) is not None

    def _move_to(self, url: str, page: list[Any], new: list[Any], following: str | None) -> None:
        self._url, self._page, self._new, self._following = url, page, new, following
        self._left = iter(())

    def _finish_page(self) -> None:
        # The page is used up: where the next one is, is all that is kept.
        self._page, self._new = [], []

    async def _read(self, waiting: Awaitable[Response], url: str) -> tuple[Page, str] | None:
        """Return a page and the URL it came from, which is the first again after a restart; ``None`` past the end."""
        try:
            response = await waiting
        except APIStatusError as error:
            if url == self._source.url:
                raise
            if self._is_past_the_end(error, url):
                self._following = None
                return None
            url = await self._restart(error)
            response = await self._source.fetch(url)
        page = await read_page(response, self._source.kind, url=url, fetch=self._source.fetch, sleep=self._source.sleep)
        if isinstance(page, Page):
            return page, url
        where = strip_query(url)
        message = f"{where} is no collection."
        raise PagingError(message, url=where, hint="Use invoke() for a single object.")

    def _next(self, page: Page, url: str) -> str | None:
        if page.next_link is not None:
            self._linked = True
            following: str | None = check_link(page.next_link, source=url)
        else:
            following = self._skip(page, url)
        if following is None:
            return None
        self._links.add(hash(url))
        if hash(following) in self._links:
            raise self._link_loop(url, "sent a link to a page that was read before")
        return following

    def _skip(self, page: Page, url: str) -> str | None:
        if self._linked or not self._source.page_sizes or not self._source.repeatable:
            return None
        return next_page_url(url, len(page.items), page_sizes=self._source.page_sizes)

    def _is_past_the_end(self, error: APIStatusError, url: str) -> bool:
        # Defender answers 404 where a list has nothing; after a full page that is its end, and no wrong path.
        return error.status == _NOT_FOUND and bool(self._source.page_sizes) and not self._linked and skipped(url) > 0

    async def _restart(self, error: APIStatusError) -> str:
        """Return the URL to begin again with, or raise the error with the reason why not."""
        if not needs_restart(error.status, error.code):
            raise error
        if self._begin.link or self._begin.done:
            error.hint = "The position is too old to go on from. Start the query again, without start=."
        elif not self._source.repeatable:
            error.hint = "Only a GET is restarted."
        elif self.restarts >= MAX_RESTARTS:
            error.hint = f"That came again after {MAX_RESTARTS} restarts: read larger pages ($top), or use them faster."
        elif await self._deduplicator.restart():
            self.restarts += 1
            self._links.clear()
            where = strip_query(self._source.url)
            self._source.emit(PagingRestarted(where, error.status, error.code, self.restarts, self._deduplicator.count))
            return self._source.url
        else:
            error.hint = (
                "The query cannot be restarted, since its items have no "
                f"{self._source.item_key!r} to identify those that were read: add it to $select, and to type=."
            )
        raise error

    def _count_yielded(self, items: list[Any]) -> int:
        """Return how many items of the page were yielded before, wherever the last of them is now."""
        done, last = self._begin.done, self._begin.last
        if not last or (done <= len(items) and self._fingerprint(items[done - 1]) == last):
            return done
        # A page without that item is given whole: rather an item twice than one never.
        return next((number for number, item in enumerate(items, 1) if self._fingerprint(item) == last), 0)

    def _fingerprint(self, item: Any) -> str:
        key = item.get(self._source.item_key) if isinstance(item, dict) else getattr(item, self._source.item_key, None)
        return "" if key is None else fingerprint(str(key))

    def _link_loop(self, url: str, what: str) -> PagingError:
        where = strip_query(url)
        message = f"{where} {what}: following it would never end."
        return PagingError(message, url=where, hint="This is a fault of the service; narrow the query, or report it.")
