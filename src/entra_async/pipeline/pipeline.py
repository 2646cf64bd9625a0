"""
One request: wait for the limiter, authorize, send, judge, retry, follow.

A token is attached here and nowhere else, after the URL was checked against the service's own host. A success passes
through :meth:`Pipeline.send` alone; everything that only a failure needs is in the methods below it.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from itertools import count
from typing import Final, final

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import AuthenticationError, RequestError, ThrottledError, TransportError
from entra_async.pipeline.authorization import (
    Authorization,
    AuthorizedTransport,
    BorrowedAuthorization,
    NoAuthorization,
)
from entra_async.pipeline.limiters import ConnectionLimiters
from entra_async.pipeline.prepared import PreparedRequest
from entra_async.pipeline.response import Response
from entra_async.pipeline.status_errors import status_error
from entra_async.rules.http.challenges import read_claims
from entra_async.rules.http.links import check_https_link, check_redirect
from entra_async.rules.http.retry import is_idempotent
from entra_async.secrecy import wipe_locals
from entra_async.transport.http.messages import HTTPRequest, HTTPResponse, Transport
from entra_async.transport.http.retry_loop import RetryLoop

__all__ = ("Pipeline",)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_FOLLOWING: Final = frozenset({"GET", "HEAD"})
_NO_SUCCESS: Final = 300
_NOT_MODIFIED: Final = 304
_UNAUTHORIZED: Final = 401
_SECOND: Final = 2
_MOMENT_S: Final = 0.001
_PRIORITY: Final = "x-ms-throttle-priority"  # https://learn.microsoft.com/en-us/graph/throttling
_CONDITIONS: Final = ("if-none-match", "if-modified-since")


@final
class Pipeline:
    """
    Sends the requests of one connection.

    Args:
        transport: Where they go.
        authorization: What is attached to each attempt; ``None`` for pre-authenticated URLs, such as a monitor's on
            another host: they carry nothing of ours, and errors name only their host.
        clock: Where time comes from.
        policy: When a request is sent again.
        limiters: Where each attempt waits until the service is likely to accept it; ``None`` if nothing is limited.
    """

    def __init__(
        self,
        *,
        transport: Transport,
        authorization: Authorization | None,
        clock: Clock,
        policy: RetryPolicy,
        limiters: ConnectionLimiters | None = None,
    ) -> None:
        self._limiters = limiters
        self._transport = transport
        self._authorization: Authorization = authorization or NoAuthorization()
        self._private = authorization is None
        self._clock = clock
        self._policy = policy
        self._priority = None if limiters is None else limiters.priority
        # A GUID for each request: what they have in common tells the connection in a service's logs.
        self._id_prefix = str(uuid.uuid4())[:24]
        self._numbers = count()

    @property
    def authorized_transport(self) -> Transport:
        """Sends a request once, with a token, past the limiters: for batches."""
        return AuthorizedTransport(self._transport, self._authorization)

    def over(self, transport: Transport) -> Pipeline:
        """
        Return a pipeline whose requests are put into batches, which carry the token for them.

        Args:
            transport: Puts them there.
        """
        return Pipeline(
            transport=transport,
            authorization=BorrowedAuthorization(self._authorization),
            clock=self._clock,
            policy=self._policy,
            limiters=None if self._limiters is None else self._limiters.in_batches(),
        )

    async def send(
        self,
        prepared: PreparedRequest,
        *,
        timeout_s: float | None = None,
        idempotent: bool | None = None,
        follow: bool = True,
        streamed: bool = False,
    ) -> Response:
        """
        Send one request to the service and return its response; what is no success is raised.

        Args:
            prepared: The request. Its URL is below the service's root: whoever prepared it has checked that.
            timeout_s: Seconds it may take in all, waits included; the policy's deadline by default.
            idempotent: Whether acting twice is the same as acting once; by default the method tells.
            follow: ``False`` to return a redirect instead of following it.
            streamed: Whether to return when the body begins, with ``Response.stream``, which the caller closes; a
                redirect has none.

        Raises:
            APIStatusError: If the service answers with no success, after what may be repeated was repeated.
            TransportError: If no complete response arrives.
            UnsafeLinkError: If the service redirects to another host.
            AuthenticationError: If there is no token.
        """
        headers = prepared.headers.copy()
        headers["client-request-id"] = client_request_id = f"{self._id_prefix}{next(self._numbers):012x}"
        if self._priority is not None:
            headers.setdefault(_PRIORITY, self._priority)
        request = HTTPRequest(prepared.method, prepared.url, headers, prepared.body, None, streamed, self._private)
        started = self._clock.monotonic()
        deadline_s = self._policy.deadline_s if timeout_s is None else timeout_s
        attempts = 1
        try:
            try:
                outcome: HTTPResponse | TransportError = await self._attempt(
                    request, started, started + deadline_s, first=False
                )
            except TransportError as error:
                outcome = error
            if isinstance(outcome, TransportError) or outcome.status >= _NO_SUCCESS:
                policy = self._policy if timeout_s is None else replace(self._policy, deadline_s=timeout_s)
                loop = RetryLoop(policy=policy, clock=self._clock, started=started)
                outcome = await self._recover(outcome, request, loop, idempotent=idempotent, follow=follow)
                attempts = loop.made
            # No URL that is sent holds a user name, so query and fragment are all that is to be hidden.
            where = request.where if self._private else request.url.partition("#")[0].partition("?")[0]
            response = Response(
                outcome.status,
                outcome.headers,
                outcome.body,
                request.method,
                where,
                attempts,
                client_request_id,
                outcome.stream,
            )
            return response if outcome.status < _NO_SUCCESS else self._judge(response, request, follow=follow)
        except RequestError as error:
            error.method, error.url, error.client_request_id = request.method, request.where, client_request_id
            request = headers = None  # type: ignore[assignment]  # they hold the token
            wipe_locals(error)
            raise
        except BaseException as error:
            request = headers = None  # type: ignore[assignment]
            wipe_locals(error)
            raise

    def _judge(self, response: Response, request: HTTPRequest, *, follow: bool) -> Response:
        """Return a response that is no success, but was asked for; raise what another one means."""
        status = response.status
        if (status in _REDIRECTS and not follow) or (
            status == _NOT_MODIFIED and any(name in request.headers for name in _CONDITIONS)
        ):
            return response
        raise status_error(response, now=self._clock.now(), secret=request.secret)

    async def _attempt(self, request: HTTPRequest, now: float, ends_at: float, *, first: bool) -> HTTPResponse:
        """Send once, when the limiter says so: *first* of all that wait there, if it was sent before."""
        monotonic, limiters = self._clock.monotonic, self._limiters
        if limiters is None:
            request.secret = await self._authorization.attach(request.headers, within_s=_left_s(ends_at, now))
            return await self._transport.send(request, within_s=_left_s(ends_at, monotonic()))
        limiter, cost = limiters.find(request.method, request.url)
        weight = limiters.weight
        if not limiter.try_enter(now, cost, weight):
            within_s, longest_s = _left_s(ends_at, now), limiters.max_pause_s
            await limiter.enter(request, cost, weight, first=first, within_s=within_s, longest_s=longest_s)
            now = monotonic()
        sent_at = now
        try:
            secret = self._authorization.try_attach(request.headers)
            if secret is None:
                secret = await self._authorization.attach(request.headers, within_s=_left_s(ends_at, now))
                now = monotonic()
            request.secret = secret
            response = await self._transport.send(request, within_s=max(_MOMENT_S, ends_at - now))
        except BaseException:
            limiter.leave(weight)
            raise
        if response.status >= _NO_SUCCESS or not limiter.leave_accepted(weight, sent_at, cost):
            limiter.leave(weight)
            limiters.observe(limiter, response, sent_at, cost)
        return response

    async def _recover(
        self,
        outcome: HTTPResponse | TransportError,
        request: HTTPRequest,
        loop: RetryLoop,
        *,
        idempotent: bool | None,
        follow: bool,
    ) -> HTTPResponse:
        """Do what a first attempt without success calls for: send again, renew the token, follow a redirect."""
        method, limited = request.method, self._limiters is not None
        repeatable = is_idempotent(method) if idempotent is None else idempotent

        async def send() -> HTTPResponse:
            try:
                return await self._attempt(request, self._clock.monotonic(), loop.ends_at, first=loop.made == _SECOND)
            except ThrottledError:  # by the limiter: it was not sent
                loop.made -= 1
                raise

        try:
            response = await loop.run(send, request=request, idempotent=repeatable, limited=limited, first=outcome)
            # A rejected token may have been revoked; 401 says that nothing was done, so any method may be sent again.
            if response.status == _UNAUTHORIZED:
                refused = request.secret
                await self._renew(response, request, within_s=loop.left_s())
                # An external credential may return the same token again: that would be rejected again.
                if request.secret != refused:
                    response = await loop.run(send, request=request, idempotent=repeatable, limited=limited)
            if follow and response.status in _REDIRECTS and method in _FOLLOWING:
                response = await self._follow(response, loop, send, request)
        except RequestError as error:
            error.attempts = loop.made
            raise
        return response

    async def _renew(self, response: HTTPResponse, request: HTTPRequest, *, within_s: float) -> None:
        challenges = [value for name, value in response.headers.items() if name.lower() == "www-authenticate"]
        claims = read_claims(challenges)
        self._authorization.rejected(request.secret, claims)
        try:
            request.secret = await self._authorization.attach(request.headers, within_s=within_s)
        except AuthenticationError as error:
            # Whoever signs the user in again must request these claims.
            error.claims = error.claims or claims
            raise

    async def _follow(
        self,
        response: HTTPResponse,
        loop: RetryLoop,
        send: Callable[[], Awaitable[HTTPResponse]],
        request: HTTPRequest,
    ) -> HTTPResponse:
        for _ in range(_MAX_REDIRECTS):
            location = response.headers.get("Location") if response.status in _REDIRECTS else None
            if location is None:
                return response
            check = check_https_link if self._private else check_redirect
            request.url = check(location, source=request.url)
            response = await loop.run(send, request=request, idempotent=True, limited=self._limiters is not None)
        message = f"{request.method} {request.where} was redirected more than {_MAX_REDIRECTS} times."
        raise RequestError(message)


def _left_s(ends_at: float, now: float) -> float:
    # At least a moment, so that what waits can end by itself.
    return max(_MOMENT_S, ends_at - now)
