"""
The one pool of connections: the only module that opens a socket, and the only one that knows aiohttp.

It sends what it is given, once: no redirects, no retries, no cookies. Everything aiohttp raises becomes a
:class:`TransportError` here, which tells whether the service may have seen the request.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from typing import TYPE_CHECKING, Final

import aiohttp
import anyio
from anyio import to_thread
from yarl import URL

from entra_async.config import Limits, Timeouts
from entra_async.errors import ClosedError, RequestTimeoutError, TransportError
from entra_async.rules.urls import strip_query
from entra_async.telemetry import Exchange, Listener
from entra_async.transport.messages import Answer, Request
from entra_async.transport.tls import build_context

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ("Pool", "translations")

# Most special first, and a TimeoutError before the OSError it is. ``True``: the service may have seen the request.
_TRANSLATIONS: Final[tuple[tuple[type[Exception], type[TransportError], bool, str, str | None], ...]] = (
    (
        aiohttp.ConnectionTimeoutError,
        RequestTimeoutError,
        False,
        "No connection came about in time",
        "Check the network and the proxy, or raise Timeouts.connect_s.",
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        TransportError,
        False,
        "The server's certificate is not trusted",
        "Behind a proxy that opens TLS, give its authority with ssl=. Python 3.13 wants VERIFY_X509_STRICT of it.",
    ),
    (aiohttp.ClientConnectorSSLError, TransportError, False, "TLS could not be agreed on", None),
    (
        aiohttp.ClientConnectorDNSError,
        TransportError,
        False,
        "The host name is not known",
        "Check the name and the DNS.",
    ),
    (aiohttp.ClientProxyConnectionError, TransportError, False, "The proxy cannot be reached", "Check proxy=."),
    (aiohttp.ClientHttpProxyError, TransportError, False, "The proxy refused the connection", "Check proxy=."),
    (aiohttp.ClientConnectorError, TransportError, False, "The host cannot be reached", None),
    (
        TimeoutError,
        RequestTimeoutError,
        True,
        "The answer took too long",
        "Raise Timeouts.answer_s if the service needs longer.",
    ),
    (aiohttp.ServerDisconnectedError, TransportError, True, "The server closed the connection without an answer", None),
    (aiohttp.ClientPayloadError, TransportError, True, "The answer broke off", None),
    (aiohttp.ClientOSError, TransportError, True, "The connection was lost", None),
    (aiohttp.ClientResponseError, TransportError, True, "The answer is no HTTP", None),
    (aiohttp.InvalidURL, TransportError, False, "The URL cannot be sent", None),
    (aiohttp.ClientError, TransportError, True, "The connection failed", None),
    (OSError, TransportError, True, "The connection was lost", None),
)

_SHORTEST_S: Final = 0.001  # aiohttp takes 0 for no limit
_MOST_LIMITS: Final = 16


def translations() -> Iterator[type[Exception]]:
    """Yield the foreign errors that the pool translates."""
    return (foreign for foreign, *_ in _TRANSLATIONS)


def _translate(error: Exception, request: Request) -> TransportError:
    for foreign, ours, sent, what, hint in _TRANSLATIONS:
        if isinstance(error, foreign):
            where = strip_query(request.url)
            # Only the errno text of an OSError is known to hold nothing of the request.
            detail = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
            message = f"{request.method} {where}: {what}{detail}."
            return ours(message, sent=sent, method=request.method, url=where, hint=hint)
    raise error


class Pool:
    """
    Connections to every host a Session talks to, opened when first needed.

    Args:
        limits: How many, and how long they are kept.
        timeouts: How long each part of an attempt may take.
        trust: See :func:`entra_async.transport.tls.build_context`.
        proxy: URL of an HTTP proxy for every request, or ``None``.
        trust_env: Whether to take proxies from ``HTTPS_PROXY``, ``NO_PROXY`` and ``~/.netrc``.
        user_agent: Sent with every request.
        listener: Hears of every attempt that has ended.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        timeouts: Timeouts,
        trust: ssl.SSLContext | str | os.PathLike[str] | None = None,
        proxy: str | None = None,
        trust_env: bool = False,
        user_agent: str = "entra-async",
        listener: Listener | None = None,
    ) -> None:
        self._listener = listener
        self._user_agent = user_agent
        self._limits = limits
        self._timeouts = timeouts
        self._trust = trust
        self._proxy = proxy
        self._trust_env = trust_env
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Lock | None = None
        self._known_limits: dict[float, aiohttp.ClientTimeout] = {}
        self._places = asyncio.Semaphore(limits.connections)
        self._closed = False

    def bind(self) -> None:
        """
        Tie the pool to the running event loop, or check that it is the one it is tied to.

        Raises:
            ClosedError: If the pool is closed, or tied to another loop.
        """
        if self._closed:
            message = "The Session is closed."
            raise ClosedError(message, hint="Open a new one: 'async with Session() as session: …'.")
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            message = "The Session is open in another event loop."
            raise ClosedError(message, hint="Use one Session per event loop, and close it in the loop that opened it.")

    async def _open(self) -> aiohttp.ClientSession:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._session is None:
                context = await to_thread.run_sync(build_context, self._trust)
                self.bind()  # it may have been closed meanwhile
                connector = aiohttp.TCPConnector(
                    limit=0,  # the places above are the limit: aiohttp would count the wait for one as connecting
                    keepalive_timeout=self._limits.keepalive_s,
                    ttl_dns_cache=int(self._limits.dns_cache_s),
                    ssl=context,
                )
                self._session = aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    proxy=self._proxy,
                    trust_env=self._trust_env,
                    headers={"User-Agent": self._user_agent},
                    skip_auto_headers=("Content-Type",),
                )
                # aiohttp would send some requests again by itself, unseen: what is sent twice is decided in one place.
                self._session._retry_connection = False  # noqa: SLF001 - as aiohttp's own test client does
            return self._session

    async def send(self, request: Request, *, within_s: float) -> Answer:
        """
        Send *request* once and return the complete answer, whatever its status.

        Args:
            request: What is sent.
            within_s: Seconds it may take in all.

        Raises:
            RequestTimeoutError: If that time, or one of the pool's timeouts, is over.
            TransportError: If no complete answer arrives.
            ClosedError: If the pool is closed, or open in another event loop.
        """
        self.bind()
        session = self._session or await self._open()
        if self._places.locked():
            within_s -= await self._take_place(request, within_s)
        else:
            await self._places.acquire()
        started = time.monotonic() if self._listener is not None else 0.0
        status: int | None = None
        try:
            # Reading to the end gives the connection back; an error or a cancellation on the way closes it.
            response = await session.request(
                request.method,
                URL(request.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=self._limit(within_s),
            )
            body = await response.read()
            status = response.status
            return Answer(status, response.headers, body)
        except Exception as error:
            if self._closed:
                message = "The Session was closed while a request was on its way."
                raise ClosedError(message, hint="Close the Session after the last call has ended.") from error
            raise _translate(error, request) from error
        finally:
            self._places.release()
            if self._listener is not None:
                duration_s = time.monotonic() - started
                self._listener(Exchange(request.method, strip_query(request.url), status, duration_s))

    def _limit(self, within_s: float) -> aiohttp.ClientTimeout:
        # Most calls have the same deadline, and making this object costs more than a look-up.
        limit = self._known_limits.get(within_s)
        if limit is None:
            limit = aiohttp.ClientTimeout(
                total=max(_SHORTEST_S, min(within_s, self._timeouts.answer_s)), sock_connect=self._timeouts.connect_s
            )
            if len(self._known_limits) < _MOST_LIMITS:
                self._known_limits[within_s] = limit
        return limit

    async def _take_place(self, request: Request, within_s: float) -> float:
        started = time.monotonic()
        with anyio.move_on_after(min(within_s, self._timeouts.queue_s)) as scope:
            await self._places.acquire()
        if scope.cancelled_caught:
            where = strip_query(request.url)
            message = (
                f"{request.method} {where}: all {self._limits.connections} places of the pool were taken too long."
            )
            hint = "Raise Limits.connections or Timeouts.queue_s, or start fewer calls at once."
            raise RequestTimeoutError(message, sent=False, method=request.method, url=where, hint=hint)
        return time.monotonic() - started

    async def aclose(self) -> None:
        """Close every connection; requests on their way end with an error. More than once does no harm."""
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()
