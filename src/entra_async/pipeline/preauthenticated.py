"""
Requests to pre-authenticated URLs: monitors on other hosts, upload sessions, downloads.

No token and no header of the service goes there. Whoever knows such a URL may use it, so neither an
error nor an event names more of it than the host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, final

from multidict import CIMultiDict

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import RequestError
from entra_async.pipeline.pipeline import Pipeline
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.pipeline.response import Response
from entra_async.pipeline.status_errors import status_error
from entra_async.secrecy import wipe_locals
from entra_async.transport.http.bodies import read_stream
from entra_async.transport.http.messages import HTTPRequest, HTTPResponse
from entra_async.transport.http.pool import Pool
from entra_async.transport.http.retry_loop import RetryLoop

__all__ = ("PreauthenticatedRequests",)

_NO_SUCCESS: Final = 300


@final
class PreauthenticatedRequests:
    """
    Sends requests to pre-authenticated URLs.

    Attributes:
        policy: When a request is sent again.

    Args:
        pool: Where requests go.
        clock: Where time comes from.
        policy: See above.
    """

    def __init__(self, *, pool: Pool, clock: Clock, policy: RetryPolicy) -> None:
        self.policy = policy
        self._pool = pool
        self._clock = clock
        self._pipeline = Pipeline(transport=pool, authorization=None, clock=clock, policy=policy)

    async def get(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        follow: bool = True,
        streamed: bool = False,
    ) -> Response:
        """
        GET a URL; see :meth:`entra_async.pipeline.pipeline.Pipeline.send`.

        Args:
            url: Checked by :func:`entra_async.rules.http.links.check_https_link`.
            headers: ``Accept: application/json`` by default.
            timeout_s: Seconds it may take in all.
            follow: ``False`` to return a redirect instead of following it.
            streamed: Whether to return when the body begins.
        """
        prepared = PreparedRequest("GET", url, CIMultiDict(headers or {"Accept": "application/json"}))
        return await self._pipeline.send(prepared, timeout_s=timeout_s, follow=follow, streamed=streamed)

    async def send(
        self, method: str, url: str, *, within_s: float, headers: Mapping[str, str], body: bytes | None = None
    ) -> HTTPResponse:
        """
        Send once, and return the complete response, whatever its status.

        Args:
            method: In upper case.
            url: See :meth:`get`.
            within_s: Seconds it may take until the response begins.
            headers: Sent as they are.
            body: Sent in pieces: it may take as long as it moves.

        Raises:
            TransportError: If no complete response arrives.
        """
        request = HTTPRequest(method, url, {**headers}, body, streamed=True, private=True)
        response = await self._pool.send(request, within_s=within_s)
        if response.stream is not None:
            response.body = await read_stream(response.stream, request, self._pool.response_bytes)
            response.stream = None
        return response

    async def run(
        self,
        attempt: Callable[[float], Awaitable[HTTPResponse]],
        method: str,
        url: str,
        *,
        timeout_s: float | None = None,
    ) -> Response:
        """
        Make attempts until one is good, and wait between them as the service says; what is no success is raised.

        Args:
            attempt: Makes one, within so many seconds.
            method: Named in errors.
            url: Its host is named in errors.
            timeout_s: Seconds it may take in all.

        Raises:
            APIStatusError: If the last response is no success.
            TransportError: If the last attempt brought no complete response.
        """
        policy = self.policy if timeout_s is None else replace(self.policy, deadline_s=timeout_s)
        loop = RetryLoop(policy=policy, clock=self._clock)
        shown = HTTPRequest(method, url, private=True)
        try:
            last = await loop.run(lambda: attempt(loop.left_s()), request=shown, idempotent=True)
        except RequestError as error:
            error.method, error.url, error.attempts = method, shown.where, loop.made
            wipe_locals(error)
            raise
        response = Response(last.status, last.headers, last.body, method, shown.where, loop.made, "")
        if last.status >= _NO_SUCCESS:
            raise status_error(response, now=self._clock.now(), secret="")
        return response
