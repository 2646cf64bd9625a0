"""
azure-core on the one pool: the only module that knows azure-core.

azure-core could also use the aiohttp session directly. Then its requests would bypass the pool's slots, listener and
errors, and its waits the Session's clock; so it gets a transport of its own instead.

Importing azure-core takes a tenth of a second: import this module in a worker thread, when it is first needed.

Sources:
    https://learn.microsoft.com/en-us/python/api/azure-core/azure.core.pipeline.transport.asynchttptransport
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, MutableMapping
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import urlencode

from azure.core.exceptions import (
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
    ServiceResponseTimeoutError,
)
from azure.core.pipeline.transport import AsyncHttpTransport
from azure.core.rest import AsyncHttpResponse, HttpRequest

from entra_async.config import Clock
from entra_async.errors import RequestTimeoutError, TransportError
from entra_async.transport.http.messages import TOKEN_RESPONSE_BYTES, HTTPRequest, HTTPResponse
from entra_async.transport.http.pool import Pool

__all__ = ("AzureTransport",)

_ERROR: Final = 400
_WITHIN_S: Final = 100.0


class AzureTransport(AsyncHttpTransport[HttpRequest, AsyncHttpResponse]):
    """
    Sends the requests of an Azure SDK client through the pool; give it as ``transport=``.

    A client's settings for proxies and for verifying certificates are ignored: the Session decides that.

    Args:
        pool: Where every request goes.
        clock: The clock of the client's waits.
    """

    def __init__(self, *, pool: Pool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock

    async def open(self) -> None:
        """Do nothing: the pool opens when it is first needed."""

    async def close(self) -> None:
        """Do nothing: the pool belongs to the Session."""

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def sleep(self, duration: float) -> None:
        """Wait that many seconds, between two attempts of a client's retry policy."""
        await self._clock.sleep(duration)

    async def send(self, request: HttpRequest, **options: Any) -> AsyncHttpResponse:
        """
        Send *request* once and return the complete response.

        Args:
            request: What is sent.
            options: ``read_timeout`` is how many seconds it may take in all.

        Raises:
            ServiceRequestError: If it was not sent; azure-core sends it again.
            ServiceResponseError: If it may have arrived; azure-core sends it again if its method allows that.
        """
        within_s = options.get("read_timeout") or _WITHIN_S
        sent = HTTPRequest(
            request.method, request.url, dict(request.headers), _body(request), response_bytes=TOKEN_RESPONSE_BYTES
        )
        try:
            response = await self._pool.send(sent, within_s=within_s)
        except RequestTimeoutError as error:
            raise (ServiceResponseTimeoutError if error.sent else ServiceRequestError)(
                str(error), error=error
            ) from error
        except TransportError as error:
            raise (ServiceResponseError if error.sent else ServiceRequestError)(str(error), error=error) from error
        return _AzureResponse(request, response)


def _body(request: HttpRequest) -> bytes | None:
    content = request.content
    match content:
        case None | bytes():
            return content
        case str():
            return content.encode()
        case Mapping() if not getattr(request, "files", None):
            return urlencode(content).encode()
        case _:
            message = "Only text, bytes and forms without files can be sent through the pool."
            raise TypeError(message)


class _AzureResponse(AsyncHttpResponse):
    """A response in azure-core's shape; it is complete, so there is nothing left to read or to close."""

    def __init__(self, request: HttpRequest, response: HTTPResponse) -> None:
        self._request = request
        self._response = response
        self._encoding: str | None = None

    @property
    def request(self) -> HttpRequest:
        return self._request

    @property
    def status_code(self) -> int:
        return self._response.status

    @property
    def headers(self) -> MutableMapping[str, str]:
        # azure-core declares them mutable; nothing writes to those of a response.
        return self._response.headers  # type: ignore[return-value]

    @property
    def reason(self) -> str:
        try:
            return HTTPStatus(self._response.status).phrase
        except ValueError:
            return ""

    @property
    def content_type(self) -> str | None:
        return self._response.headers.get("Content-Type")

    @property
    def is_closed(self) -> bool:
        return True

    @property
    def is_stream_consumed(self) -> bool:
        return True

    @property
    def encoding(self) -> str | None:
        return self._encoding

    @encoding.setter
    def encoding(self, value: str | None) -> None:
        self._encoding = value

    @property
    def url(self) -> str:
        return self._request.url

    @property
    def content(self) -> bytes:
        return self._response.body

    def text(self, encoding: str | None = None) -> str:
        return self._response.body.decode(encoding or self._encoding or "utf-8-sig", "replace")

    def json(self) -> Any:
        return json.loads(self._response.body)

    def raise_for_status(self) -> None:
        if self._response.status >= _ERROR:
            raise HttpResponseError(response=self)

    async def read(self) -> bytes:
        return self._response.body

    async def iter_bytes(self, **_: Any) -> AsyncIterator[bytes]:
        yield self._response.body

    async def iter_raw(self, **_: Any) -> AsyncIterator[bytes]:
        yield self._response.body

    async def close(self) -> None:
        """Do nothing: the pool has the connection back already."""

    async def __aexit__(self, *_: object) -> None:
        await self.close()
