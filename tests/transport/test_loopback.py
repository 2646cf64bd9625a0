"""The listener of a loopback redirect URI: local, strict, bounded, closed when the sign-in has ended."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from anyio.abc import SocketAttribute

from entra_async.errors import AuthenticationError
from entra_async.transport.loopback import BrowserRequest, LoopbackListener, ReplyPage, listen

FORM = "Content-Type: application/x-www-form-urlencoded"


async def send_raw(port: int, raw: str | bytes, *, host: str = "127.0.0.1") -> str:
    """Send *raw*, with HOST replaced by the right host, and return everything that comes back."""
    data = raw if isinstance(raw, bytes) else raw.encode()
    stream = await anyio.connect_tcp(host, port)
    async with stream:
        await stream.send(data.replace(b"HOST", f"localhost:{port}".encode()))
        received = b""
        try:
            while True:
                received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received.decode()


@asynccontextmanager
async def serving(requests: list[BrowserRequest], *, read_s: float = 10.0) -> AsyncIterator[LoopbackListener]:
    async def handle(request: BrowserRequest) -> ReplyPage:
        requests.append(request)
        return ReplyPage(200, "<p>seen</p>")

    async with listen(read_s=read_s) as loopback, anyio.create_task_group() as group:
        group.start_soon(lambda: loopback.serve(handle, hosts=frozenset({f"localhost:{loopback.port}"})))
        yield loopback
        group.cancel_scope.cancel()


async def test_both_response_modes() -> None:
    """A query and a posted form are understood alike, on IPv4 and, where there is one, on IPv6."""
    requests: list[BrowserRequest] = []
    async with serving(requests) as loopback:
        first = await send_raw(loopback.port, "GET /back?code=a%20b&state=%C3%A9 HTTP/1.1\r\nHost: HOST\r\n\r\n")
        body = "code=c&state=d"
        form = f"POST / HTTP/1.1\r\nHost: HOST\r\n{FORM}; charset=utf-8\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        await send_raw(loopback.port, form)
        try:
            await send_raw(loopback.port, form, host="::1")
        except OSError:
            requests.append(requests[-1])

    assert [(request.method, request.path, dict(request.fields)) for request in requests] == [
        ("GET", "/back", {"code": "a b", "state": "é"}),
        ("POST", "/", {"code": "c", "state": "d"}),
        ("POST", "/", {"code": "c", "state": "d"}),
    ]
    assert "code" not in repr(requests[0].fields) or "a b" not in repr(requests[0])
    assert first.startswith("HTTP/1.1 200 OK\r\n")
    for header in (
        "Content-Type: text/html; charset=utf-8",
        "Content-Security-Policy: default-src 'none'",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
    ):
        assert f"\r\n{header}\r\n" in first


REFUSED: dict[str, tuple[str | bytes, int]] = {
    "another host": ("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    "another port": ("GET / HTTP/1.1\r\nHost: localhost:1\r\n\r\n", 421),
    "no host": ("GET / HTTP/1.1\r\n\r\n", 421),
    "two hosts": ("GET / HTTP/1.1\r\nHost: HOST\r\nHost: HOST\r\n\r\n", 400),
    "no request line": ("hello\r\n\r\n", 400),
    "absolute target": ("GET http://localhost/ HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "blank in the target": ("GET /a b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "HTTP/2": ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "HTTP/0.9": ("GET /\r\n\r\n", 400),
    "not ASCII": ("GET /é HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "folded header": ("GET / HTTP/1.1\r\nHost: HOST\r\nX: a\r\n b\r\n\r\n", 400),
    "header without colon": ("GET / HTTP/1.1\r\nHost: HOST\r\nX\r\n\r\n", 400),
    "bare line feed": ("GET / HTTP/1.1\nHost: HOST\r\n\r\n", 400),
    "GET with a body": ("GET / HTTP/1.1\r\nHost: HOST\r\nContent-Length: 1\r\n\r\na", 400),
    "PUT": ("PUT / HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
    "OPTIONS": ("OPTIONS / HTTP/1.1\r\nHost: HOST\r\n\r\n", 405),
    "POST without length": (f"POST / HTTP/1.1\r\nHost: HOST\r\n{FORM}\r\n\r\n", 411),
    "negative length": (f"POST / HTTP/1.1\r\nHost: HOST\r\n{FORM}\r\nContent-Length: -1\r\n\r\n", 411),
    "chunked": (f"POST / HTTP/1.1\r\nHost: HOST\r\n{FORM}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
    "too long": (f"POST / HTTP/1.1\r\nHost: HOST\r\n{FORM}\r\nContent-Length: 65537\r\n\r\n", 413),
    "JSON": ("POST / HTTP/1.1\r\nHost: HOST\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", 415),
    "endless header": (b"GET / HTTP/1.1\r\nX: " + b"a" * 70_000, 431),
    "field given twice": ("GET /?code=a&code=b HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "too many fields": (f"GET /?{'&'.join(f'f{n}=1' for n in range(60))} HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
    "not UTF-8": ("GET /?code=%FF HTTP/1.1\r\nHost: HOST\r\n\r\n", 400),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_malformed_requests_are_rejected(case: str) -> None:
    """Each malformed, oversized or misdirected request gets its status, and never reaches the sign-in."""
    raw, status = REFUSED[case]
    requests: list[BrowserRequest] = []
    async with serving(requests) as loopback:
        response = await send_raw(loopback.port, raw)

    assert response.startswith(f"HTTP/1.1 {status} ")
    assert ("Allow: GET, POST" in response) == (status == 405)
    assert "text/plain" in response
    assert not requests


@pytest.mark.parametrize(
    "raw", ["", "GET / HTT", f"POST / HTTP/1.1\r\nHost: HOST\r\n{FORM}\r\nContent-Length: 5\r\n\r\nab"]
)
async def test_a_request_that_never_ends(raw: str) -> None:
    """A connection that sends nothing, or stops halfway, is given up after a while."""
    requests: list[BrowserRequest] = []
    async with serving(requests, read_s=0.05) as loopback:
        response = await send_raw(loopback.port, raw)

    assert response.startswith("HTTP/1.1 408 ")
    assert not requests


async def test_a_browser_that_goes_away_harms_nobody() -> None:
    """Connections closed halfway through a request are dropped; the next one is served."""
    requests: list[BrowserRequest] = []
    async with serving(requests) as loopback:
        for raw in (b"", b"GET / HT", b"POST / HTTP/1.1\r\nHost: "):
            async with await anyio.connect_tcp("127.0.0.1", loopback.port) as stream:
                if raw:
                    await stream.send(raw)
        await send_raw(loopback.port, "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n")

    assert len(requests) == 1


async def test_a_port_in_use_is_an_error() -> None:
    """A port that is in use is an error at once, with a hint."""
    async with listen() as first:
        with pytest.raises(AuthenticationError, match=f"Port {first.port} of this machine") as caught:
            async with listen(first.port):
                pass

    assert caught.value.hint


async def test_the_port_is_free_afterwards() -> None:
    """The port can be listened on again right away, whatever connections were open."""
    async with serving([]) as loopback:
        idle = await anyio.connect_tcp("127.0.0.1", loopback.port)
        await send_raw(loopback.port, "GET / HTTP/1.1\r\nHost: HOST\r\n\r\n")
    async with listen(loopback.port) as again:
        assert again.port == loopback.port
    await idle.aclose()


async def test_only_this_machine_is_listened_to() -> None:
    """The listener is bound to loopback addresses, one port on all of them."""
    async with listen() as loopback:
        addresses = [listener.extra(SocketAttribute.local_address) for listener in loopback._listener.listeners]

    assert {address[0] for address in addresses} <= {"127.0.0.1", "::1"}
    assert {address[1] for address in addresses} == {loopback.port}
