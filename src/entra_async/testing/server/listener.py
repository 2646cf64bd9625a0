"""One service of the emulator on a TLS port of its own: what arrives is recorded, and faults are injected."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from email.utils import formatdate
from functools import partial
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl
from weakref import WeakSet

from aiohttp import web

from entra_async.testing.faults.responses import ERROR_FORMAT, ErrorFormat, corrupt_json, fault_response
from entra_async.testing.wire.record import RECORD, RecordedRequest, mask_form, mask_headers, mask_query, mask_raw_query

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from aiohttp.typedefs import Handler

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.faults.fault import Fault
    from entra_async.testing.faults.faults import Faults
    from entra_async.testing.wire.record import RequestLog

__all__ = ("Listener",)

_SHUTDOWN_S: Final = 0.05
_HANDSHAKE_S: Final = 10.0
_PIECE_BYTES: Final = 65_536
_SLOW_PIECES: Final = 10
_ENDLESS: Final = b"0" * _PIECE_BYTES
_let_others_run: Final = partial(asyncio.sleep, 0)
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # struct linger, SO_LINGER


class Listener:
    """
    Serves one application at ``https://localhost:PORT``, or ``http``, until the block ends.

    Leaving the block ends requests that are still being handled, and closes every connection.

    Args:
        service: Name of the service, for the record and for faults.
        application: The service; it says how it writes errors, which injected faults imitate.
        tls: The server's TLS context; ``None`` for plain HTTP, as endpoints next door speak it.
        requests: Where arrivals are recorded.
        faults: What goes wrong on purpose.
        clock: The emulator's clock.
        delay_s: Seconds on that clock before each request is handled.
        host: Another name it is served under, without a port: what a client says that was led here by its resolver.
    """

    def __init__(
        self,
        service: str,
        application: web.Application,
        *,
        tls: ssl.SSLContext | None,
        requests: RequestLog,
        faults: Faults,
        clock: EmulatorClock,
        delay_s: float = 0.0,
        host: str | None = None,
    ) -> None:
        self._host = host
        self._errors = application.get(ERROR_FORMAT, ErrorFormat())
        self._service = service
        self._tls = tls
        self._requests = requests
        self._faults = faults
        self._clock = clock
        self._delay_s = delay_s
        self._handling: set[asyncio.Task[object]] = set()
        self._skewed: WeakSet[web.StreamResponse] = WeakSet()
        # Outermost, so that what the application's own middlewares refuse is recorded, too.
        application.middlewares.insert(0, self._serve)
        application.on_response_prepare.append(self._set_date)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        self._listening: asyncio.Server | None = None
        self._port = 0

    @property
    def port(self) -> int:
        """The TCP port, once the block was entered."""
        return self._port

    @property
    def url(self) -> str:
        """Root of the service, without trailing slash."""
        return f"{'https' if self._tls else 'http'}://localhost:{self._port}"

    async def __aenter__(self) -> Self:
        await self._runner.setup()
        server = self._runner.server
        assert server is not None  # set up just now
        try:
            self._listening = await asyncio.get_running_loop().create_server(
                server,
                "127.0.0.1",
                0,
                ssl=self._tls,
                ssl_handshake_timeout=_HANDSHAKE_S if self._tls else None,
                ssl_shutdown_timeout=_SHUTDOWN_S if self._tls else None,
            )
        except BaseException:
            await self._runner.cleanup()
            raise
        self._port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._listening is not None:
            self._listening.close()
        handling = list(self._handling)
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        server = self._runner.server
        transports = [connection.transport for connection in server.connections] if server is not None else []
        await self._runner.cleanup()
        # A graceful end would wait for the client's; at this point no client waits for one.
        for transport in transports:
            if transport is not None:
                transport.abort()
        if sys.version_info >= (3, 13) and self._listening is not None:
            self._listening.abort_clients()  # those still shaking hands
        for _ in range(3):  # aborted transports close their sockets on the loop's next turns
            await asyncio.sleep(0)

    @web.middleware
    async def _serve(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None  # aiohttp runs every handler in one
        self._handling.add(task)
        try:
            return await self._handle(request, handler)
        finally:
            self._handling.discard(task)

    async def _handle(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        record = RecordedRequest(
            service=self._service,
            method=request.method,
            path=request.path,
            query=mask_query(request.query.items()),
            raw_query=mask_raw_query(request.rel_url.raw_query_string),
            headers=mask_headers(request.headers.items()),
            at=self._clock.now(),
        )
        self._requests.append(record)
        request[RECORD] = record
        try:
            response = await self._respond(request, handler, record)
        except web.HTTPException as error:
            record.status = error.status
            raise
        except Exception:
            record.status = 500
            raise
        if response is None:
            return web.Response()  # not sent: the connection is gone
        if request.transport is not None:
            record.status = response.status
        body = _body(response)
        if isinstance(response, web.Response) and len(body) > _PIECE_BYTES and request.method != "HEAD":
            # Encrypting megabytes at once would keep everybody else from the event loop.
            return await self._send(request, response, body)
        return response

    async def _set_date(self, _: web.Request, response: web.StreamResponse) -> None:
        # By now aiohttp has written the real time there. Only an injected fault may give another one than the clock's.
        if response not in self._skewed:
            response.headers["Date"] = formatdate(self._clock.now(), usegmt=True)

    async def _respond(
        self, request: web.Request, handler: Handler, record: RecordedRequest
    ) -> web.StreamResponse | None:
        if request.host not in {f"localhost:{self._port}", f"127.0.0.1:{self._port}", self._host}:
            raise web.HTTPMisdirectedRequest(text=f"No service here is named {request.host!r}.")
        if self._service == "identity" and request.content_type == "application/x-www-form-urlencoded":
            form = parse_qsl((await request.read()).decode("utf-8", "replace"), keep_blank_values=True)
            record.form = mask_form(form)
        fault = self._faults.match(record)
        delay_s = self._delay_s + (fault.delay_s if fault else 0.0)
        if delay_s > 0:
            await self._clock.sleep(delay_s)
        return await handler(request) if fault is None else await self._inject(fault, request, handler)

    async def _inject(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if fault.cut_request_after is not None:
            await _receive(request, fault.cut_request_after)
        if fault.reset == "before" or fault.cut_request_after is not None:
            _reset(request)
            return None
        injected = fault_response(fault, request, self._errors, now=self._clock.now())
        if fault.endless:
            return await _send_endlessly(request)
        if injected is not None:
            if "Date" in injected.headers:
                self._skewed.add(injected)
            return injected
        try:
            response = await handler(request)
        except web.HTTPException as error:
            response = web.Response(status=error.status, text=error.text, headers=error.headers)
        if fault.reset == "after":
            _reset(request)
            return None
        if fault.skew_s:
            response.headers["Date"] = formatdate(self._clock.now() + fault.skew_s, usegmt=True)
            self._skewed.add(response)
        if fault.wrong_json is not None:
            corrupt_json(response, fault.wrong_json)
        if fault.half_body:
            return await self._send_start(request, response, len(_body(response)) // 2)
        if fault.cut_response_after is not None:
            return await self._send_start(request, response, fault.cut_response_after)
        if fault.slow_body_s and isinstance(response, web.Response) and (body := _body(response)):
            return await self._send_slowly(request, response, body, fault.slow_body_s)
        return response

    async def _send_slowly(
        self, request: web.Request, whole: web.Response, body: memoryview, seconds: float
    ) -> web.StreamResponse:
        size = -(-len(body) // _SLOW_PIECES)
        pieces = -(-len(body) // size)
        return await self._send(request, whole, body, size, lambda: self._clock.sleep(seconds / pieces))

    async def _send_start(self, request: web.Request, whole: web.StreamResponse, size: int) -> web.StreamResponse:
        if not isinstance(whole, web.Response) or not isinstance(whole.body, bytes | bytearray | None):
            message = "Only a response that is known as a whole can be cut."
            raise TypeError(message)
        start = await self._send(request, whole, _body(whole)[: 0 if request.method == "HEAD" else size])
        if request.transport is not None:
            request.transport.close()  # after what was written has gone out
        return start

    async def _send(
        self,
        request: web.Request,
        whole: web.Response,
        body: memoryview,
        size: int = _PIECE_BYTES,
        pause: Callable[[], Awaitable[None]] = _let_others_run,
    ) -> web.StreamResponse:
        """Send the headers of *whole*, and *body* in pieces of *size* bytes, with a pause before each."""
        sent = web.StreamResponse(status=whole.status, reason=whole.reason, headers=whole.headers)
        if whole in self._skewed:
            self._skewed.add(sent)
        sent.cookies.load(whole.cookies)
        if whole.body is not None:
            sent.content_length = whole.content_length
        with suppress(ConnectionError):  # the client went away
            await sent.prepare(request)
            for at in range(0, len(body), size):
                await pause()
                await sent.write(body[at : at + size])
        return sent


async def _send_endlessly(request: web.Request) -> web.StreamResponse:
    sent = web.StreamResponse(headers={"Content-Type": "application/json"})
    with suppress(ConnectionError):  # the client had enough
        await sent.prepare(request)
        await sent.write(b'{"id": "')
        while True:
            await _let_others_run()
            await sent.write(_ENDLESS)
    return sent


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    # Closing a socket that must not linger sends RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


async def _receive(request: web.Request, size: int) -> None:
    left = size
    with suppress(ConnectionError):  # the client went away first
        while left > 0 and (received := await request.content.read(left)):
            left -= len(received)


def _body(response: web.StreamResponse) -> memoryview:
    body = response.body if isinstance(response, web.Response) else None
    return memoryview(body if isinstance(body, bytes | bytearray) else b"")
