"""
The way to URLs that permit by themselves what they lead to: monitors on other hosts, upload sessions, downloads.

Nothing of ours goes there: no token, no header of the service. Whoever knows such a URL may use it, so neither an
error nor an event names more of it than the host.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Final, final

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import RequestError
from entra_async.pipeline.pipeline import Pipeline
from entra_async.pipeline.response import Response
from entra_async.pipeline.status_errors import status_error
from entra_async.secrecy import wipe_locals
from entra_async.transport.messages import HTTPRequest, HTTPResponse
from entra_async.transport.pool import Pool
from entra_async.transport.retry_loop import RetryLoop
from entra_async.transport.streams import BodyStream

__all__ = ("PreauthenticatedRequests",)

_BAD: Final = 300


@final
class PreauthenticatedRequests:
    """
    Calls such URLs.

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
        self._caller = Pipeline(pool=pool, authorization=None, clock=clock, policy=policy)

    async def get(self, url: str, *, timeout_s: float | None = None, follow: bool = True) -> Response:
        """
        GET a URL; see :meth:`entra_async.pipeline.pipeline.Pipeline.call`.

        Args:
            url: Checked by :func:`entra_async.rules.http.links.check_open_link`.
            timeout_s: Seconds it may take in all.
            follow: ``False`` to return a redirect instead of going there.
        """
        headers = {"Accept": "application/json"}
        try:
            return await self._caller.call("GET", url, headers=headers, timeout_s=timeout_s, follow=follow)
        except BaseException as error:
            wipe_locals(error)
            raise

    async def open(
        self, url: str, *, headers: Mapping[str, str], timeout_s: float | None = None
    ) -> tuple[Response, BodyStream | None]:
        """GET a URL and follow redirects; see :meth:`entra_async.pipeline.pipeline.Pipeline.open`."""
        try:
            return await self._caller.open(url, headers=headers, timeout_s=timeout_s)
        except BaseException as error:
            wipe_locals(error)
            raise

    async def send(
        self, method: str, url: str, *, within_s: float, headers: Mapping[str, str], body: bytes | None = None
    ) -> HTTPResponse:
        """
        Send once, and return the complete answer, whatever its status.

        Args:
            method: In upper case.
            url: See :meth:`get`.
            within_s: Seconds it may take until the answer begins.
            headers: Sent as they are.
            body: Sent in pieces: it may take as long as it moves.

        Raises:
            TransportError: If no complete answer arrives.
        """
        request = HTTPRequest(method, url, {**headers}, body, streamed=True, private=True)
        answer = await self._pool.send(request, within_s=within_s)
        if answer.stream is not None:
            answer = replace(answer, body=await answer.stream.read_all(), stream=None)
        return answer

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
            attempt: Makes one, within so many seconds. It is told nothing of the one before.
            method: Named in errors.
            url: Its host is named in errors.
            timeout_s: Seconds it may take in all.

        Raises:
            APIStatusError: If the last answer is no success.
            TransportError: If the last attempt brought no complete answer.
        """
        policy = self.policy if timeout_s is None else replace(self.policy, deadline_s=timeout_s)
        attempts = RetryLoop(policy=policy, clock=self._clock)
        shown = HTTPRequest(method, url, private=True)
        try:
            answer = await attempts.run(lambda: attempt(attempts.left_s()), request=shown, idempotent=True)
        except RequestError as error:
            error.method, error.url, error.attempts = method, shown.where, attempts.made
            wipe_locals(error)
            raise
        response = Response(answer.status, answer.headers, answer.body, method, shown.where, attempts.made, "")
        if answer.status >= _BAD:
            raise status_error(response, now=self._clock.now(), secret="")
        return response
