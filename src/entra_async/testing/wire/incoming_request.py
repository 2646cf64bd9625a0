"""What a service reads of a request, whether it arrived by itself or in a batch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from multidict import CIMultiDictProxy
    from yarl import URL

__all__ = ("IncomingRequest",)


class IncomingRequest(Protocol):
    """A request: an aiohttp one, or an item of a batch, which must not be treated any better."""

    @property
    def method(self) -> str:
        """HTTP method, in capitals."""

    @property
    def rel_url(self) -> URL:
        """Path and query, encoded as they were sent."""

    @property
    def headers(self) -> CIMultiDictProxy[str]:
        """Headers, those of the batch that apply to its items included."""

    @property
    def scheme(self) -> str:
        """How the client reached the service: ``http`` or ``https``."""

    @property
    def host(self) -> str:
        """What the client called the service, with the port."""

    @property
    def content_type(self) -> str:
        """Media type of the body, without parameters."""

    async def read(self) -> bytes:
        """Return the body."""
