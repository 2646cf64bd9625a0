"""
What happens to one request: govern, authorize, send, judge, wait and send again, follow.

A token is attached here and nowhere else, after the URL was checked against the service's own host.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from itertools import count
from typing import Final

from entra_async.config import Clock, RetryPolicy
from entra_async.errors import AuthenticationError, RequestError, ThrottledError
from entra_async.pipeline.authorization import Authorization, BorrowedAuthorization, NoAuthorization
from entra_async.pipeline.limiters import ConnectionLimiters
from entra_async.pipeline.response import Response
from entra_async.pipeline.status_errors import status_error
from entra_async.rules.http.challenges import read_claims
from entra_async.rules.http.links import check_link, check_open_link
from entra_async.rules.http.retry import is_idempotent
from entra_async.transport.messages import HTTPRequest, HTTPResponse, Transport
from entra_async.transport.retry_loop import RetryLoop
from entra_async.transport.streams import BodyStream

__all__ = ("Pipeline",)

_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
_MAX_REDIRECTS: Final = 5
_FOLLOWING: Final = frozenset({"GET", "HEAD"})
_GOOD: Final = 200
_BAD: Final = 300
_NOT_MODIFIED: Final = 304
_UNAUTHORIZED: Final = 401
_CONDITIONS: Final = frozenset({"if-none-match", "if-modified-since"})


class Pipeline:
    """
    Carries the requests of one connection.

    Args:
        pool: Where they go.
        authorization: What is attached to each attempt; ``None`` for calls to URLs that permit by themselves what they
            lead to, such as a monitor's on another host: they carry nothing of ours, and errors name only their host.
        clock: Where time comes from.
        policy: When a request is sent again.
        gates: Where each attempt waits until the service is likely to accept it; ``None`` if there is no such place.
    """

    def __init__(
        self,
        *,
        pool: Transport,
        authorization: Authorization | None,
        clock: Clock,
        policy: RetryPolicy,
        gates: ConnectionLimiters | None = None,
    ) -> None:
        self._gates = gates
        self._pool = pool
        self._authorization: Authorization = authorization or NoAuthorization()
        self._private = authorization is None
        self._clock = clock
        self._policy = policy
        # A GUID for each request: what they have in common tells the connection in a service's logs.
        self._id_prefix = str(uuid.uuid4())[:24]
        self._numbers = count()

    def over(self, sender: Transport) -> Pipeline:
        """
        Return a caller whose requests travel inside others, which carry the token for them.

        Args:
            sender: Puts them there.
        """
        inherited = BorrowedAuthorization(self._authorization)
        gates = None if self._gates is None else self._gates.in_batches()
        return Pipeline(pool=sender, authorization=inherited, clock=self._clock, policy=self._policy, gates=gates)

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """
        Send a request once, with a token; see :class:`~entra_async.transport.messages.Transport`.

        It passes no gate: what it carries has passed its own.
        """
        await self._authorization.attach(request.headers, within_s=within_s)
        return await self._pool.send(request, within_s=within_s)

    async def call(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        body: bytes | None = None,
        timeout_s: float | None = None,
        idempotent: bool | None = None,
        follow: bool = True,
    ) -> Response:
        """
        Send one request to the service and return its answer; what is no success is raised.

        Args:
            method: In upper case.
            url: Below the service's root: the caller has checked that.
            headers: Sent as they are, with a token and an id added.
            body: Bytes, or ``None``.
            timeout_s: Seconds it may take in all, waits included; the policy's deadline by default.
            idempotent: Whether acting twice is the same as acting once; by default the method tells.
            follow: ``False`` to return a redirect instead of going there.

        Raises:
            APIStatusError: If the service answers with no success, after what may be repeated was repeated.
            TransportError: If no complete answer arrives.
            UnsafeLinkError: If the service redirects to another host.
            AuthenticationError: If there is no token.
        """
        request = HTTPRequest(method, url, {**headers}, body, private=self._private)
        response, _ = await self._carry(request, timeout_s=timeout_s, idempotent=idempotent, follow=follow)
        return response

    async def open(
        self, url: str, *, headers: Mapping[str, str], timeout_s: float | None = None, follow: bool = True
    ) -> tuple[Response, BodyStream | None]:
        """
        GET as :meth:`call` does, and return the answer while its body arrives.

        Args:
            url: See :meth:`call`.
            headers: See :meth:`call`.
            timeout_s: Seconds it may take until the body begins.
            follow: See :meth:`call`.

        Returns:
            The answer without its body, and the body, which the caller closes; ``None`` for that of a redirect.

        Raises:
            EntraError: Whatever :meth:`call` raises.
        """
        request = HTTPRequest("GET", url, {**headers}, streamed=True, private=self._private)
        return await self._carry(request, timeout_s=timeout_s, idempotent=None, follow=follow)

    async def _carry(
        self, request: HTTPRequest, *, timeout_s: float | None, idempotent: bool | None, follow: bool
    ) -> tuple[Response, BodyStream | None]:
        client_request_id = f"{self._id_prefix}{next(self._numbers):012x}"
        method, conditional = request.method, not _CONDITIONS.isdisjoint(map(str.lower, request.headers))
        request.headers["client-request-id"] = client_request_id
        gates = self._gates
        if gates is not None and gates.priority is not None:
            gates.rank(request.headers)
        policy = self._policy if timeout_s is None else replace(self._policy, deadline_s=timeout_s)
        attempts = RetryLoop(policy=policy, clock=self._clock)
        repeatable = is_idempotent(method) if idempotent is None else idempotent
        secret = ""

        async def attempt() -> HTTPResponse:
            nonlocal secret
            secret = await self._authorization.attach(request.headers, within_s=attempts.left_s())
            return await self._pool.send(request, within_s=attempts.left_s())

        async def send() -> HTTPResponse:
            if gates is None:
                return await attempt()
            try:
                return await gates.through(request, attempt, attempt=attempts.made, left_s=attempts.left_s)
            except ThrottledError:  # at the gate: it was not sent
                attempts.made -= 1
                raise

        gated = gates is not None
        try:
            answer = await attempts.run(send, request=request, idempotent=repeatable, gated=gated)
            # A refused token may have been revoked; 401 says that nothing was done, so any method may be sent again.
            if answer.status == _UNAUTHORIZED:
                refused, secret = secret, await self._replace(secret, answer, request, within_s=attempts.left_s())
                # Who keeps tokens for us may give the same one again: that would be refused again.
                if secret != refused:
                    answer = await attempts.run(send, request=request, idempotent=repeatable, gated=gated)
            if follow and answer.status in _REDIRECTS and method in _FOLLOWING:
                answer = await self._follow(answer, attempts, send, request)
        except RequestError as error:
            error.method, error.url = method, request.where
            error.attempts = attempts.made
            error.client_request_id = client_request_id
            raise
        response = Response(
            status=answer.status,
            headers=answer.headers,
            body=answer.body,
            method=method,
            url=request.where,
            attempts=attempts.made,
            client_request_id=client_request_id,
        )
        good = _GOOD <= answer.status < _BAD or (conditional and answer.status == _NOT_MODIFIED)
        if not (good or (answer.status in _REDIRECTS and not follow)):
            raise status_error(response, now=self._clock.now(), secret=secret)
        return response, answer.stream

    async def _replace(self, secret: str, answer: HTTPResponse, request: HTTPRequest, *, within_s: float) -> str:
        challenges = [value for name, value in answer.headers.items() if name.lower() == "www-authenticate"]
        claims = read_claims(challenges)
        self._authorization.refused(secret, claims)
        try:
            return await self._authorization.attach(request.headers, within_s=within_s)
        except AuthenticationError as error:
            # Whoever asks the person then must ask for what the service demanded.
            error.claims = error.claims or claims
            raise

    async def _follow(
        self,
        answer: HTTPResponse,
        attempts: RetryLoop,
        send: Callable[[], Awaitable[HTTPResponse]],
        request: HTTPRequest,
    ) -> HTTPResponse:
        for _ in range(_MAX_REDIRECTS):
            location = answer.headers.get("Location") if answer.status in _REDIRECTS else None
            if location is None:
                return answer
            check = check_open_link if self._private else check_link
            request.url = check(location, source=request.url)
            answer = await attempts.run(send, request=request, idempotent=True, gated=self._gates is not None)
        message = f"{request.method} {request.where} was redirected more than {_MAX_REDIRECTS} times."
        raise RequestError(message)
