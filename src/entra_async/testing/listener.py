"""One service of the emulator on a TLS port of its own: what arrives is recorded, and faults are let loose."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from aiohttp import web

from entra_async.testing.fault_answers import fault_answer
from entra_async.testing.requests import RecordedRequest, mask_fields, mask_headers

if TYPE_CHECKING:
    import ssl
    from types import TracebackType
    from typing import Self

    from aiohttp.typedefs import Handler

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.faults import Fault, Faults
    from entra_async.testing.requests import RequestLog

__all__ = ("Listener",)

_SHUTDOWN_S: Final = 0.05
_HANDSHAKE_S: Final = 10.0
_RESET_ON_CLOSE: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)  # struct linger, SO_LINGER


class Listener:
    """
    Serves one application at ``https://localhost:PORT`` until the block ends.

    Leaving the block ends requests that are still being answered, and closes every connection.

    Args:
        service: Name of the service, for the record and for faults.
        application: What answers.
        tls: The server's TLS context.
        requests: Where arrivals are recorded.
        faults: What goes wrong on purpose.
        clock: The emulator's clock.
        delay_s: Seconds on that clock before each request is answered.
    """

    def __init__(
        self,
        service: str,
        application: web.Application,
        *,
        tls: ssl.SSLContext,
        requests: RequestLog,
        faults: Faults,
        clock: EmulatorClock,
        delay_s: float = 0.0,
    ) -> None:
        self._service = service
        self._tls = tls
        self._requests = requests
        self._faults = faults
        self._clock = clock
        self._delay_s = delay_s
        self._answering: set[asyncio.Task[object]] = set()
        # Outermost, so that what the application's own middlewares refuse is recorded, too.
        application.middlewares.insert(0, self._serve)
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
        return f"https://localhost:{self._port}"

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
                ssl_handshake_timeout=_HANDSHAKE_S,
                ssl_shutdown_timeout=_SHUTDOWN_S,
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
        answering = list(self._answering)
        for task in answering:
            task.cancel()
        await asyncio.gather(*answering, return_exceptions=True)
        server = self._runner.server
        transports = [connection.transport for connection in server.connections] if server is not None else []
        await self._runner.cleanup()
        # A graceful end would wait for the client's; at this point nobody is owed one.
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
        self._answering.add(task)
        try:
            return await self._answer(request, handler)
        finally:
            self._answering.discard(task)

    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        record = RecordedRequest(
            service=self._service,
            method=request.method,
            path=request.path,
            query=mask_fields(request.query.items()),
            headers=mask_headers(request.headers.items()),
            at=self._clock.now(),
        )
        self._requests.append(record)
        try:
            response = await self._respond(request, handler, record)
        except web.HTTPException as answer:
            record.status = answer.status
            raise
        except Exception:
            record.status = 500
            raise
        if response is None:
            return web.Response()  # goes nowhere: the connection is gone
        if request.transport is not None:
            record.status = response.status
        return response

    async def _respond(
        self, request: web.Request, handler: Handler, record: RecordedRequest
    ) -> web.StreamResponse | None:
        if request.host not in {f"localhost:{self._port}", f"127.0.0.1:{self._port}"}:
            raise web.HTTPMisdirectedRequest(text=f"No service here is named {request.host!r}.")
        if self._service == "identity" and request.content_type == "application/x-www-form-urlencoded":
            form = parse_qsl((await request.read()).decode("utf-8", "replace"), keep_blank_values=True)
            record.form = mask_fields(form)
        fault = self._faults.strike(record)
        delay_s = self._delay_s + (fault.delay_s if fault else 0.0)
        if delay_s > 0:
            await self._clock.sleep(delay_s)
        return await handler(request) if fault is None else await self._go_wrong(fault, request, handler)

    async def _go_wrong(self, fault: Fault, request: web.Request, handler: Handler) -> web.StreamResponse | None:
        if fault.reset == "before":
            _reset(request)
            return None
        planted = fault_answer(fault, request, service=self._service, now=self._clock.now())
        if planted is not None:
            return planted
        try:
            response = await handler(request)
        except web.HTTPException as answer:
            response = web.Response(status=answer.status, text=answer.text, headers=answer.headers)
        if fault.reset == "after":
            _reset(request)
            return None
        return await _send_half(request, response) if fault.half_body else response


def _reset(request: web.Request) -> None:
    transport = request.transport
    if transport is None:
        return
    # Closing a socket that must not linger sends RST instead of FIN.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    transport.abort()


async def _send_half(request: web.Request, whole: web.StreamResponse) -> web.StreamResponse:
    if not isinstance(whole, web.Response) or not isinstance(whole.body, bytes):
        message = "Only an answer that is known as a whole can be cut in half."
        raise TypeError(message)
    half = web.StreamResponse(status=whole.status, headers=whole.headers)
    half.content_length = len(whole.body)
    with suppress(ConnectionError):
        await half.prepare(request)
        await half.write(whole.body[: len(whole.body) // 2])
    if request.transport is not None:
        request.transport.close()  # after what was written has gone out
    return half
