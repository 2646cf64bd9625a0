"""
Every page of a collection, once, in order.

A link is followed as the service wrote it, with the headers of the first request; an empty page is followed like any
other; a link that was followed before is an error, since it would never end.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from entra_async.errors import PagingError
from entra_async.pipeline.response import Response
from entra_async.requests.tasks import Start, abandon, arrive
from entra_async.rules.decoding import Page
from entra_async.rules.links import check_link
from entra_async.rules.urls import strip_query

__all__ = ("iter_pages", "next_url")

Fetch = Callable[[str], Coroutine[Any, Any, Response]]


def next_url(page: Page, *, source: str, seen: set[int]) -> str | None:
    """
    Return the URL of the page after *page*, or ``None`` if it is the last.

    Args:
        page: A page.
        source: The URL it came from.
        seen: Hashes of the URLs asked so far; the new one is added.

    Raises:
        UnsafeLinkError: If the link leads to another host.
        PagingError: If it was followed before.
    """
    if page.next_link is None:
        return None
    url = check_link(page.next_link, source=source)
    seen.add(hash(source))
    if hash(url) in seen:
        where = strip_query(source)
        message = f"{where} sent a link to a page that was read before: following it would never end."
        raise PagingError(message, url=where, hint="This is a fault of the service; narrow the query, or report it.")
    return url


async def iter_pages(
    fetch: Fetch, url: str, kind: Any, *, start: Start, seen: set[int] | None = None
) -> AsyncGenerator[Page]:
    """
    Yield every page, while the next one is already on its way: two pages are held at most.

    Args:
        fetch: Asks one URL.
        url: The first page.
        kind: What each item is decoded into; ``None`` for dicts.
        start: Starts a task that ends with the Session at the latest.
        seen: Hashes of the URLs asked before.

    Raises:
        PagingError: If an answer is no collection, or the pages go round in circles.
        UnsafeLinkError: If a link leads to another host.
    """
    seen = set() if seen is None else seen
    ahead: asyncio.Task[Response] | None = None
    try:
        response = await fetch(url)
        while True:
            page = response.read(kind)
            if not isinstance(page, Page):
                where = strip_query(url)
                message = f"{where} is no collection."
                raise PagingError(message, url=where, hint="Use invoke() for a single object.")
            following = next_url(page, source=url, seen=seen)
            if following is None:
                yield page
                return
            ahead = start(fetch(following), name="entra_async next page")
            yield page
            del page  # let the caller's page go before the next one is decoded
            response = await arrive(ahead)
            ahead, url = None, following
    finally:
        if ahead is not None:
            await abandon([ahead])
