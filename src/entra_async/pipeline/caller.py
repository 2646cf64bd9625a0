"""
What happens to one request: authorize, send, judge, wait and send again, follow.

A token is attached here and nowhere else, after the URL was checked against the service's own host.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Final

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import RequestError
from entra_async.pipeline.failure import status_error
from entra_async.pipeline.response import Response
from entra_async.rules.links import check_link
from entra_async.rules.retry import is_idempotent
from entra_async.rules.urls import strip_query
from entra_async.tokens.token import Token
from entra_async.transport.attempts import Attempts
from entra_async.transport.messages import Answer, Request
from entra_async.transport.pool import Pool

__all__ = ("Caller",)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_BAD: Final = 400


class Caller:
    """
    Carries the requests of one connection.

    Args:
        pool: Where they go.
        get_token: Gives the token to attach.
        clock: Where time comes from.
        policy: When a request is sent again.
    """

    def __init__(
        self, *, pool: Pool, get_token: Callable[[], Awaitable[Token]], clock: Clock, policy: RetryPolicy
    ) -> None:
        self._pool = pool
        self._get_token = get_token
        self._clock = clock
        self._policy = policy
        # A GUID for each request: what they have in common tells the connection in a service's logs.
        self._id_prefix = str(uuid.uuid4())[:24]
        self._numbers = count()

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_s: float | None = None,
        idempotent: bool | None = None,
    ) -> Response:
        """
        Send one request to the service and return its answer; a status of 400 or more is raised.

        Args:
            method: In upper case.
            url: Below the service's root: the caller has checked that.
            headers: Sent as they are, with a token and an id added.
            body: Bytes, or ``None``.
            timeout_s: Seconds it may take in all, waits included; the policy's deadline by default.
            idempotent: Whether acting twice is the same as acting once; by default the method tells.

        Raises:
            APIStatusError: If the service answers with an error, after what may be repeated was repeated.
            TransportError: If no complete answer arrives.
            UnsafeLinkError: If the service redirects to another host.
            AuthenticationError: If there is no token.
        """
        client_request_id = f"{self._id_prefix}{next(self._numbers):012x}"
        request = Request(method, url, {**headers, "client-request-id": client_request_id}, body)
        policy = self._policy if timeout_s is None else replace(self._policy, deadline_s=timeout_s)
        attempts = Attempts(policy=policy, clock=self._clock)
        repeatable = is_idempotent(method) if idempotent is None else idempotent

        async def send(left_s: float) -> Answer:
            token = await self._get_token()
            request.headers["Authorization"] = f"{token.token_type} {token.token}"
            return await self._pool.send(request, within_s=left_s)

        try:
            for _ in range(_MAX_REDIRECTS + 1):
                answer = await attempts.run(send, request=request, idempotent=repeatable)
                location = answer.headers.get("Location") if answer.status in _REDIRECTS else None
                if location is None or method not in {"GET", "HEAD"}:
                    break
                request.url = check_link(location, source=request.url)
            else:
                message = f"{method} {strip_query(url)} was redirected more than {_MAX_REDIRECTS} times."
                raise RequestError(message, method=method, url=strip_query(url))
        except RequestError as error:
            error.attempts = attempts.made
            error.client_request_id = client_request_id
            raise
        response = Response(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            method=method,
            url=strip_query(request.url),
            attempts=attempts.made,
            client_request_id=client_request_id,
        )
        if response.status >= _BAD:
            raise status_error(response, now=self._clock.now())
        return response
