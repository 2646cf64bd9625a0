"""
The one pool of connections: the only module that opens a socket, and the only one that drives aiohttp.

It sends what it is given, once: no redirects, no retries, no cookies. Everything aiohttp raises becomes a
:class:`TransportError`, which tells whether the service may have seen the request.
"""

from __future__ import annotations

import asyncio
import io
import os
import socket
import ssl
import time
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
import anyio
from anyio import to_thread
from yarl import URL

from entra_async.config import Limits, Timeouts
from entra_async.errors import ClosedError, RequestTimeoutError
from entra_async.telemetry.events import Listener, RequestFinished, notify
from entra_async.transport.failures import translate
from entra_async.transport.messages import BypassProxy, HTTPRequest, HTTPResponse
from entra_async.transport.proxies import EnvironmentProxies
from entra_async.transport.streams import BodyStream, send_in_pieces, stalled
from entra_async.transport.tls import build_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

T = TypeVar("T")

__all__ = ("Pool",)

_SHORTEST_S: Final = 0.001  # aiohttp takes 0 for no limit
_MOST_LIMITS: Final = 16
_LARGE_BYTES: Final = 1 << 20
_REDIRECTED: Final = 300


def _payload(body: bytes | None) -> bytes | io.BytesIO | None:
    # aiohttp sends bytes in one piece, which holds up the loop, and warns from a megabyte on.
    return body if body is None or len(body) <= _LARGE_BYTES else io.BytesIO(body)


class Pool:
    """
    Connections to every host a Session talks to, opened when first needed.

    Args:
        limits: How many, and how long they are kept.
        timeouts: How long each part of an attempt may take.
        trust: See :func:`entra_async.transport.tls.build_context`.
        proxy: URL of an HTTP proxy for every request, or ``None``.
        trust_env: Whether to take the proxy from ``HTTPS_PROXY`` and ``NO_PROXY``, unless *proxy* is given.
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
        self._proxies: EnvironmentProxies | None = None
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening: asyncio.Lock | None = None
        self._known_limits: dict[float, aiohttp.ClientTimeout] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._places = asyncio.Semaphore(limits.connections)
        self._closed = False
        # Closes the client when its event loop ends, if nobody did before.
        self._guard: AsyncGenerator[None] | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        _POOLS.add(self)

    @property
    def closed(self) -> bool:
        """Whether it is closed for good."""
        return self._closed

    def bind(self) -> None:
        """
        Tie the pool to the running event loop; it leaves one that has ended.

        Raises:
            ClosedError: If the pool is closed, or tied to another loop that still runs.
        """
        if self._closed:
            message = "The Session is closed."
            raise ClosedError(message, hint="Open a new one: 'async with Session() as session: …'.")
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self.check_loop()
            self._loop = loop
            self._leave_loop()

    def check_loop(self) -> None:
        """
        Check that no other event loop uses the pool now.

        Raises:
            ClosedError: If one does.
        """
        loop = self._loop
        if loop is not None and loop is not asyncio.get_running_loop() and loop.is_running():
            message = "The Session is open in another event loop."
            raise ClosedError(message, hint="Use one Session per event loop, or one loop after the other.")

    def _leave_loop(self) -> None:
        # What belongs to a loop that has ended is of no use to the next one. The guard has closed the client.
        self._session, self._guard, self._opening = None, None, None
        self._places = asyncio.Semaphore(self._limits.connections)
        self._tasks = set()

    def leave_process(self) -> None:
        """Leave the connections to the process that this one was forked from; called in the new one."""
        session, guard, self._loop = self._session, self._guard, None
        self._leave_loop()
        # The connections are shared: a farewell from here (TLS close_notify) would end them over there as well.
        nowhere = os.open(os.devnull, os.O_RDWR)
        for connection in self._sockets:
            if connection.fileno() >= 0:
                os.dup2(nowhere, connection.fileno())
        os.close(nowhere)
        # Kept, since throwing it away would try to close what is no longer there.
        _LEFT_BEHIND.append((session, guard))

    async def _guard_client(self, client: aiohttp.ClientSession) -> AsyncGenerator[None]:
        # An ending loop closes the generators that were begun in it: the one moment to end its connections in peace.
        try:
            yield
        finally:
            await client.close()

    def _make_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        made = socket.socket(*address[:3])
        self._sockets.add(made)
        return made

    async def _open(self) -> aiohttp.ClientSession:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._session is None:
                context = await to_thread.run_sync(build_context, self._trust)
                if self._trust_env and self._proxy is None:
                    self._proxies = await to_thread.run_sync(EnvironmentProxies)
                self.bind()  # it may have been closed meanwhile
                connector = aiohttp.TCPConnector(
                    limit=0,  # the places above are the limit: aiohttp would count the wait for one as connecting
                    keepalive_timeout=self._limits.keepalive_s,
                    ttl_dns_cache=int(self._limits.dns_cache_s),
                    ssl=context,
                    socket_factory=self._make_socket,
                )
                client = aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": self._user_agent},
                    skip_auto_headers=("Content-Type",),
                )
                # aiohttp would send some requests again by itself, unseen: what is sent twice is decided in one place.
                client._retry_connection = False  # noqa: SLF001 - as aiohttp's own test client does
                self._guard = self._guard_client(client)
                await anext(self._guard)
                self._session = client
            return self._session

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """
        Send *request* once and return the complete answer, whatever its status.

        Args:
            request: What is sent. If it is streamed, a good answer is returned as soon as its body begins.
            within_s: Seconds it may take in all, or until a streamed body begins.

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
        left: BodyStream | None = None
        response: aiohttp.ClientResponse | None = None
        failure: Exception | None = None
        try:
            # Reading to the end gives the connection back; an error or a cancellation on the way closes it.
            response = await self._send(session, request, within_s)
            if response is None:
                failure = stalled(request.where, method=request.method)
            elif request.streamed and response.status < _REDIRECTED:
                left = self._leave_open(response, request, started)
                return HTTPResponse(response.status, response.headers, b"", left)
            else:
                body = await response.read()
                status = response.status
                return HTTPResponse(status, response.headers, body)
        except Exception as error:  # noqa: BLE001 - what is not the network's is raised as it is
            failure = translate(error, request, closed=self._closed)
        finally:
            if left is None:
                self._places.release()
                self._tell(request, status, started)
        # Raised here, since aiohttp's own error shows headers and queries, and would be its context above.
        response = None  # so does this
        raise failure

    async def _send(
        self, session: aiohttp.ClientSession, request: HTTPRequest, within_s: float
    ) -> aiohttp.ClientResponse | None:
        url = URL(request.url, encoded=True)
        trust: bool | aiohttp.Fingerprint = True  # whom the connector trusts
        timeout = self._limit(within_s)
        proxy = self._proxy if self._proxies is None else self._proxies.find(url)
        if request.direct is not None:
            proxy = None
            trust, timeout = self._go_directly(request.direct, timeout)
        if request.streamed:
            return await self._send_streamed(session, request, url, proxy, within_s)
        return await session.request(
            request.method,
            url,
            headers=request.headers,
            data=_payload(request.body),
            allow_redirects=False,
            timeout=timeout,
            ssl=trust,
            proxy=proxy,
        )

    async def _send_streamed(
        self, session: aiohttp.ClientSession, request: HTTPRequest, url: URL, proxy: str | URL | None, within_s: float
    ) -> aiohttp.ClientResponse | None:
        # aiohttp has no limit for a body that does not leave, so the deadline is moved with each piece that does.
        latest = anyio.current_time() + within_s
        with anyio.move_on_after(min(within_s, self._timeouts.answer_s)) as scope:

            def moved(last: bool) -> None:  # noqa: FBT001 - a callback
                wait_s = self._timeouts.answer_s if last else self._timeouts.gap_s
                scope.deadline = min(latest, anyio.current_time() + wait_s)

            body = request.body
            return await session.request(
                request.method,
                url,
                headers=request.headers if body is None else {**request.headers, "Content-Length": str(len(body))},
                data=send_in_pieces(body, moved) if body else body,
                allow_redirects=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(total=None, connect=self._timeouts.connect_s),
                proxy=proxy,
            )
        return None

    def _leave_open(self, response: aiohttp.ClientResponse, request: HTTPRequest, started: float) -> BodyStream:
        content, places = response.content, self._places

        async def read() -> bytes:
            try:
                return await content.readany()
            except Exception as error:  # noqa: BLE001 - what is not the network's is raised as it is
                failure = translate(error, request, closed=self._closed)
            raise failure

        def end() -> None:
            whole = content.at_eof() and content.exception() is None
            response.close()
            places.release()
            self._tell(request, response.status if whole else None, started)

        return BodyStream(
            read, end, stalled=lambda: stalled(request.where, method=request.method), gap_s=self._timeouts.gap_s
        )

    def _tell(self, request: HTTPRequest, status: int | None, started: float) -> None:
        if self._listener is not None:
            notify(self._listener, RequestFinished(request.method, request.where, status, time.monotonic() - started))

    def _limit(self, within_s: float) -> aiohttp.ClientTimeout:
        # Most calls have the same deadline, and making this object costs more than a look-up.
        limit = self._known_limits.get(within_s)
        if limit is None:
            limit = aiohttp.ClientTimeout(
                total=max(_SHORTEST_S, min(within_s, self._timeouts.answer_s)), connect=self._timeouts.connect_s
            )
            if len(self._known_limits) < _MOST_LIMITS:
                self._known_limits[within_s] = limit
        return limit

    def _go_directly(
        self, direct: BypassProxy, timeout: aiohttp.ClientTimeout
    ) -> tuple[bool | aiohttp.Fingerprint, aiohttp.ClientTimeout]:
        pin = direct.certificate_sha256
        if direct.connect_s is not None:
            timeout = aiohttp.ClientTimeout(
                total=timeout.total, connect=min(direct.connect_s, self._timeouts.connect_s)
            )
        return True if pin is None else aiohttp.Fingerprint(pin), timeout

    async def _take_place(self, request: HTTPRequest, within_s: float) -> float:
        started = time.monotonic()
        with anyio.move_on_after(min(within_s, self._timeouts.queue_s)) as scope:
            await self._places.acquire()
        if scope.cancelled_caught:
            where = request.where
            message = (
                f"{request.method} {where}: all {self._limits.connections} places of the pool were taken too long."
            )
            hint = "Raise Limits.connections or Timeouts.queue_s, or start fewer calls at once."
            raise RequestTimeoutError(message, sent=False, method=request.method, url=where, hint=hint)
        return time.monotonic() - started

    def start(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Start a task that is cancelled, at the latest, when the pool is closed."""
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def start_soon(self, work: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        """Start a task as :meth:`start` does, from wherever; nothing happens once the pool or its loop is closed."""
        if self._loop is not None and not self._closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(
                lambda: None if self._closed else self.start(work(), name="entra_async end")
            )

    async def aclose(self) -> None:
        """
        Cancel every task, close every connection; requests on their way end with an error.

        More than once does no harm.
        """
        self._closed = True
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks))
        guard, self._guard, self._session = self._guard, None, None
        if guard is not None:
            await guard.aclose()


_POOLS: Final[weakref.WeakSet[Pool]] = weakref.WeakSet()
_LEFT_BEHIND: Final[list[object]] = []


def _leave_process() -> None:
    for pool in list(_POOLS):
        pool.leave_process()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_process)
