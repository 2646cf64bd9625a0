"""Reading a page: one whose response is no JSON is requested again, so that a crawl of hours does not end by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from entra_async.errors import DecodeError
from entra_async.pipeline.response import Response

__all__ = ("read_page",)

_PAUSES_S: Final = (0.5, 2.0)


async def read_page(
    response: Response,
    kind: Any,
    *,
    url: str,
    fetch: Callable[[str], Coroutine[Any, Any, Response]],
    sleep: Callable[[float], Awaitable[None]],
) -> Any:
    """
    Return what the response holds; if it is no JSON, as from a gateway or cut off, request it again, twice at most.

    Args:
        response: The response.
        kind: What the page is decoded into, ``list[…]`` of something; ``None`` for dicts.
        url: Where it came from.
        fetch: Requests it again.
        sleep: Waits a number of seconds before that.

    Raises:
        DecodeError: If no response is JSON, or one does not fit *kind*: that is not requested again.
    """
    for pause_s in _PAUSES_S:
        try:
            return response.read(kind)
        except DecodeError:
            if _holds_json(response):
                raise
        await sleep(pause_s)
        response = await fetch(url)
    return response.read(kind)


def _holds_json(response: Response) -> bool:
    try:
        response.json()
    except DecodeError:
        return False
    return True
