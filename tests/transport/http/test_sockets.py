"""No socket outlives its pool."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import anyio

from entra_async import Limits, Timeouts
from entra_async.testing.server.certificate_authority import CertificateAuthority
from entra_async.transport.http.messages import HTTPRequest
from entra_async.transport.http.pool import Pool


async def test_no_connection_outlives_the_pool() -> None:
    """One that was cut off in the middle of a response is closed with the pool, also if the other side says no bye."""
    authority = await anyio.to_thread.run_sync(CertificateAuthority)
    context = await anyio.to_thread.run_sync(authority.server_context)
    trust = await anyio.to_thread.run_sync(authority.client_context)
    asked, over = threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
            connection.recv(4096)
            asked.set()
            over.wait(10)

    def connections() -> list[socket.socket]:
        sockets = [each for each in gc.get_objects() if isinstance(each, socket.socket) and each.fileno() >= 0]
        return [each for each in sockets if each.family == socket.AF_INET and each.getsockname() != here]

    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = listener.getsockname()
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        pool = Pool(limits=Limits(), timeouts=Timeouts(), trust=trust)
        request = HTTPRequest("GET", f"https://127.0.0.1:{here[1]}/")
        call = asyncio.create_task(pool.send(request, within_s=60))
        await anyio.to_thread.run_sync(asked.wait, 10)
        assert connections()
        call.cancel()
        await asyncio.wait({call})
        await pool.aclose()
        left = connections()
        over.set()
        await anyio.to_thread.run_sync(server.join, 10)

    assert not left
