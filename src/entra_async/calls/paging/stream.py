"""The stream of a collection: its items, its pages, and its position."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from typing import Generic, TypeVar, final

from entra_async.calls.paging.pager import Pager
from entra_async.errors import ConfigurationError
from entra_async.rules.paging.position import pack

__all__ = ("Stream",)

T = TypeVar("T")


@final
class Stream(Generic[T]):
    """
    The items of a collection, each once and in order; what :meth:`Connection.stream` gives.

    Leaving ``async for`` early cancels the request for the next page.

    Example:
        ::

            users = graph.stream("users", start=saved)
            async for user in users:
                keep(user)
                saved = users.position
    """

    def __init__(self, pager: Pager) -> None:
        self._pager = pager
        # It must not refer to the stream: a loop that is left early drops both at once, then.
        self._generator: AsyncGenerator[T] = pager.items()

    def __repr__(self) -> str:
        return f"<Stream after {self._pager.restarts} restarts>"

    def __aiter__(self) -> AsyncIterator[T]:
        return self._generator  # itself, since one more step for each item would be felt

    def __anext__(self) -> Awaitable[T]:
        return self._generator.__anext__()

    def pages(self) -> AsyncIterator[list[T]]:
        """
        Give the items page by page, as lists: to write each in one go. A page may be empty.

        Raises:
            ConfigurationError: If items were taken already.
        """
        if self._pager.begun:
            message = "The stream is being read already."
            raise ConfigurationError(
                message, hint="Call pages() at once: 'async for page in graph.stream(…).pages():'."
            )
        pages = self._pager.pages()
        self._generator = pages  # type: ignore[assignment]  # closed with the stream, whatever it gives
        return pages

    async def aclose(self) -> None:
        """End it, and cancel the request for the next page. More than once does no harm."""
        await self._generator.aclose()

    @property
    def position(self) -> str:
        """
        The position after the last item (or page) given: ``stream(…, start=position)`` goes on there.

        A text of letters and digits for a file or a database. It holds the path, the query and the service's page
        token, but no secret. The service forgets page tokens after a while; it does not say when.
        """
        return pack(self._pager.position)

    @property
    def restarts(self) -> int:
        """How often the query had to be restarted since a page token had expired."""
        return self._pager.restarts
