"""
The one pool of connections: the only module that opens a socket, and the only one that drives aiohttp.

It sends what it is given, once: no redirects, no retries, no cookies. Everything aiohttp raises becomes a
:class:`TransportError`, which tells whether the service may have seen the request.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from asyncio import get_running_loop
from typing import TYPE_CHECKING, Any, Final, TypeVar

import aiohttp
from anyio import to_thread
from yarl import URL

from entra_async.config import Limits, Timeouts
from entra_async.errors import ClosedError, RequestTimeoutError
from entra_async.telemetry.events import Listener, RequestFinished, notify
from entra_async.transport.http.bodies import read_body
from entra_async.transport.http.deadlines import Deadlines
from entra_async.transport.http.failures import HANDSHAKE_ERRORS, plain_proxy, translate
from entra_async.transport.http.forks import follow_forks, keep_for_ever
from entra_async.transport.http.messages import HTTPRequest, HTTPResponse
from entra_async.transport.http.proxies import EnvironmentProxies, is_over_tls, speaks_plain_http
from entra_async.transport.http.slots import Slots
from entra_async.transport.http.sockets import Sockets
from entra_async.transport.http.streams import BodyStream, payload, send_in_pieces, stalled
from entra_async.transport.http.tls import build_context

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

T = TypeVar("T")

__all__ = ("Pool",)

_GUESSED: Final = ("Content-Type",)  # aiohttp would guess one
_REDIRECTED: Final = 300
_ARRIVED_BYTES: Final = 1 << 20  # aiohttp holds half of it before it is read
_HANDSHAKE_S: Final = 3.0


class Pool:
    """
    Connections to every host a Session talks to, opened when first needed.

    Args:
        limits: How many, and how long they are kept.
        timeouts: How long each part of an attempt may take.
        trust: See :func:`entra_async.transport.http.tls.build_context`.
        proxy: URL of an HTTP proxy for every request, or ``None``.
        trust_env: Whether to take the proxy from ``HTTPS_PROXY`` and ``NO_PROXY``, unless *proxy* is given.
        user_agent: Sent with every request.
        listener: Called with each attempt that has ended.
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
        # One timer for all requests, ours, rather than one for each: aiohttp only limits connecting.
        self._timeout = aiohttp.ClientTimeout(total=None, connect=timeouts.connect_s)
        self._deadlines = Deadlines()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._slots = Slots(limits.connections)
        self._closed = False
        # Closes the client when its event loop ends, if nobody did before.
        self._guard: AsyncGenerator[None] | None = None
        self._sockets = Sockets()
        follow_forks(self)

    @property
    def closed(self) -> bool:
        """Whether it is closed for good."""
        return self._closed

    @property
    def response_bytes(self) -> int:
        """``Limits.response_bytes``."""
        return self._limits.response_bytes

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
        self._slots, self._deadlines = Slots(self._limits.connections), Deadlines()
        self._tasks = set()

    def leave_process(self) -> None:
        """Leave the connections to the process that this one was forked from; called in the new one."""
        session, guard, self._loop = self._session, self._guard, None
        self._leave_loop()
        self._sockets.leave()
        # Kept, since throwing it away would try to close what is no longer there.
        keep_for_ever(session, guard)

    async def _guard_client(self, client: aiohttp.ClientSession) -> AsyncGenerator[None]:
        # An ending loop closes the generators that were begun in it: the one moment to end its connections in peace.
        try:
            yield
        finally:
            await client.close()
            await self._sockets.end()

    async def _open(self) -> aiohttp.ClientSession:
        self._opening = self._opening or asyncio.Lock()
        async with self._opening:
            if self._session is None:
                context = await to_thread.run_sync(build_context, self._trust)
                if self._trust_env and self._proxy is None:
                    self._proxies = await to_thread.run_sync(EnvironmentProxies)
                if is_over_tls(self._proxy) or (self._proxies is not None and self._proxies.over_tls):
                    # Until it is known whether such a proxy speaks TLS, it is not waited for as long as one that does.
                    self._timeout = aiohttp.ClientTimeout(None, min(_HANDSHAKE_S, self._timeouts.connect_s))
                self.bind()  # it may have been closed meanwhile
                connector = aiohttp.TCPConnector(
                    limit=0,  # the slots are the limit: aiohttp would count the wait for one as connecting
                    keepalive_timeout=self._limits.keepalive_s,
                    ttl_dns_cache=int(self._limits.dns_cache_s),
                    ssl=context,
                    socket_factory=self._sockets.make,
                )
                client = aiohttp.ClientSession(
                    connector=connector,
                    cookie_jar=aiohttp.DummyCookieJar(),
                    headers={"User-Agent": self._user_agent},
                )
                # aiohttp would send some requests again by itself, unseen: what is sent twice is decided in one place.
                client._retry_connection = False  # noqa: SLF001 - as aiohttp's own test client does
                self._guard = self._guard_client(client)
                await anext(self._guard)
                self._session = client
            return self._session

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """
        Send *request* once and return the complete response, whatever its status.

        Args:
            request: What is sent. If it is streamed, a success is returned as soon as its body begins.
            within_s: Seconds it may take in all, or until a streamed body begins.

        Raises:
            RequestTimeoutError: If that time, or one of the pool's timeouts, is over.
            TransportError: If no complete response arrives.
            ClosedError: If the pool is closed, or open in another event loop.
        """
        if self._closed or self._loop is not get_running_loop():
            self.bind()
        client = self._session or await self._open()
        slots, deadlines = self._slots, self._deadlines
        if slots.free:
            slots.free -= 1
        else:
            within_s -= await self._wait_for_slot(request, within_s)
        started = 0.0 if self._listener is None else time.monotonic()
        response_s = self._timeouts.response_s
        task = deadlines.start(min(response_s, within_s))
        status: int | None = None
        stream: BodyStream | None = None
        failure: Exception
        used = proxy = None  # the latter if it may speak no TLS
        try:
            # Reading to the end gives the connection back; an error or a cancellation on the way closes it.
            if request.streamed:
                response = await self._send_streamed(client, request, task, within_s)
                if response.status < _REDIRECTED:
                    stream = self._open_stream(response, request, started)
                    return HTTPResponse(response.status, response.headers, b"", stream)
            elif (
                request.method == "GET" and request.bypass_proxy is None and self._proxies is None and not request.body
            ):
                response = await client.request(
                    request.method,
                    URL(request.url, encoded=True),
                    headers=request.headers,
                    allow_redirects=False,
                    timeout=self._timeout,
                    proxy=self._proxy,
                )
            else:
                response = await self._send(client, request)
            max_bytes = request.response_bytes or self._limits.response_bytes
            # What has arrived as a whole is decompressed, and little. Of anything else the size is watched.
            if response.content.is_eof() and max_bytes >= _ARRIVED_BYTES:
                body = await response.read()
            else:
                body = await read_body(response, request, max_bytes)
            status = response.status
            return HTTPResponse(status, response.headers, body)
        except asyncio.CancelledError:
            if not deadlines.caused(task):
                raise
            if request.streamed:
                failure = stalled(request.where, method=request.method)
            else:
                failure = translate(TimeoutError(), request, closed=False)
        except Exception as error:  # noqa: BLE001 - what is not the network's is raised as it is
            used = self._find_proxy(request)
            failure = translate(error, request, closed=self._closed, proxy=used)
            if isinstance(error, HANDSHAKE_ERRORS) and is_over_tls(used):
                proxy = used
        finally:
            deadlines.running.pop(task, None)
            if stream is None:
                if slots.waiting:
                    slots.release()
                else:
                    slots.free += 1
                if self._listener is not None:
                    self._emit(request, status, started)
        # Raised here, since aiohttp's own error shows headers and queries, and would be its context above.
        response = None  # type: ignore[assignment]  # so does this
        if proxy is not None:
            if await speaks_plain_http(proxy):
                failure = plain_proxy(request, proxy)
            elif isinstance(failure, RequestTimeoutError) and self._timeout.connect != self._timeouts.connect_s:
                # Nothing was sent yet, and it has all the time now.
                self._timeout = aiohttp.ClientTimeout(None, self._timeouts.connect_s)
                return await self.send(request, within_s=within_s - _HANDSHAKE_S)
        used = proxy = None  # they hold its password
        raise failure

    def _find_proxy(self, request: HTTPRequest) -> str | None:
        if request.bypass_proxy is not None:
            return None
        return self._proxy if self._proxies is None else self._proxies.find(URL(request.url, encoded=True))

    async def _send(self, client: aiohttp.ClientSession, request: HTTPRequest) -> aiohttp.ClientResponse:
        url = URL(request.url, encoded=True)
        proxy = self._find_proxy(request)
        timeout, pin = self._timeout, None
        if request.bypass_proxy is not None:
            pin = request.bypass_proxy.certificate_sha256
            if request.bypass_proxy.connect_s is not None:
                timeout = aiohttp.ClientTimeout(None, min(request.bypass_proxy.connect_s, self._timeouts.connect_s))
        return await client.request(
            request.method,
            url,
            headers=request.headers,
            data=payload(request.body),
            skip_auto_headers=_GUESSED,
            allow_redirects=False,
            timeout=timeout,
            ssl=True if pin is None else aiohttp.Fingerprint(pin),
            proxy=proxy,
        )

    async def _send_streamed(
        self, client: aiohttp.ClientSession, request: HTTPRequest, task: asyncio.Task[Any], within_s: float
    ) -> aiohttp.ClientResponse:
        # The deadline is moved with each piece of the body that leaves.
        latest = time.monotonic() + within_s

        def moved(last: bool) -> None:  # noqa: FBT001 - a callback
            wait_s = self._timeouts.response_s if last else self._timeouts.idle_s
            self._deadlines.move(task, min(latest - time.monotonic(), wait_s))

        url, body = URL(request.url, encoded=True), request.body
        return await client.request(
            request.method,
            url,
            headers=request.headers if body is None else {**request.headers, "Content-Length": str(len(body))},
            data=send_in_pieces(body, moved) if body else body,
            skip_auto_headers=_GUESSED,
            allow_redirects=False,
            auto_decompress=False,
            timeout=self._timeout,
            proxy=self._find_proxy(request),
        )

    def _open_stream(self, response: aiohttp.ClientResponse, request: HTTPRequest, started: float) -> BodyStream:
        content, slots = response.content, self._slots

        async def read() -> bytes:
            try:
                return await content.readany()
            except Exception as error:  # noqa: BLE001 - what is not the network's is raised as it is
                failure = translate(error, request, closed=self._closed)
            raise failure

        def end() -> None:
            whole = content.at_eof() and content.exception() is None
            response.close()
            slots.release()
            self._emit(request, response.status if whole else None, started)

        return BodyStream(
            read,
            end,
            stalled=lambda: stalled(request.where, method=request.method),
            deadlines=self._deadlines,
            idle_s=self._timeouts.idle_s,
        )

    def _emit(self, request: HTTPRequest, status: int | None, started: float) -> None:
        if self._listener is not None:
            notify(self._listener, RequestFinished(request.method, request.where, status, time.monotonic() - started))

    async def _wait_for_slot(self, request: HTTPRequest, within_s: float) -> float:
        started = time.monotonic()
        task = self._deadlines.start(min(within_s, self._timeouts.queue_s))
        try:
            await self._slots.acquire()
        except asyncio.CancelledError:
            if not self._deadlines.caused(task):
                raise
        else:
            return time.monotonic() - started
        finally:
            self._deadlines.running.pop(task, None)
        where = request.where
        message = f"{request.method} {where}: all {self._limits.connections} slots of the pool were taken too long."
        hint = "Raise Limits.connections or Timeouts.queue_s, or start fewer calls at once."
        raise RequestTimeoutError(message, sent=False, method=request.method, url=where, hint=hint)

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
        """Cancel every task, close every connection; requests that have not ended fail. Twice does no harm."""
        self._closed = True
        if self._tasks:
            for task in self._tasks:
                task.cancel()
            await asyncio.wait(set(self._tasks))
        self._slots.close()
        self._deadlines.close()
        guard, self._guard, self._session = self._guard, None, None
        if guard is not None:
            await guard.aclose()
