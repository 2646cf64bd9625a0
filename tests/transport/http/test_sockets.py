"""No socket outlives its pool."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading

import anyio

from entra_async import Limits, Timeouts
from entra_async.errors import ClosedError
from entra_async.testing import Emulator
from entra_async.testing.server.certificate_authority import CertificateAuthority
from entra_async.transport.http.messages import HTTPRequest
from entra_async.transport.http.pool import Pool


async def test_a_request_that_waits_for_a_slot_ends_with_the_session(emulator: Emulator) -> None:
    """Nobody waits for a slot that will never be given: closing is an error for who does."""
    emulator.faults.add("/v1.0/users/ada@contoso.com", delay_s=3600)
    async with emulator.session(limits=Limits(connections=1, in_flight=1)) as session:
        graph = await session.connect(emulator.client_secret)
        first = asyncio.create_task(graph.invoke("users/ada@contoso.com"))
        await emulator.requests.wait_for(1, path="/v1.0/users/ada@contoso.com")
        beta = await session.connect(emulator.client_secret, service="GraphBeta")
        second = asyncio.create_task(beta.invoke("groups"))
        await asyncio.sleep(0.01)

    with anyio.fail_after(5):
        ended = await asyncio.gather(first, second, return_exceptions=True)
    assert all(isinstance(error, ClosedError) for error in ended), ended


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
