"""
The listener of a loopback redirect URI: an HTTP server on this machine's loopback addresses, open for one sign-in.

Other programs and web pages can reach the port, too. So it accepts little of HTTP, reads little and not for long,
accepts no ``Host`` but its own, and leaves it to its user to check ``state``.

Source:
    RFC 8252, sections 7.3 and 8.3; RFC 9112 (HTTP/1.1)
"""

from __future__ import annotations

import errno
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Final, final
from urllib.parse import parse_qsl

import anyio
from anyio.abc import Listener, SocketAttribute, SocketStream
from anyio.streams.buffered import BufferedByteReceiveStream
from anyio.streams.stapled import MultiListener

from entra_async.errors import AuthenticationError

__all__ = ("BrowserRequest", "LoopbackListener", "ReplyPage", "listen")

_MAX_BYTES: Final = 64 * 1024
_MAX_FIELDS: Final = 50
_READ_S: Final = 10.0
_LINGER_S: Final = 1.0
_BIND_ATTEMPTS: Final = 10
_FORM: Final = "application/x-www-form-urlencoded"
_REQUEST_LINE: Final = re.compile(r"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.[01]")
_HEADER: Final = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([ -~\t]*?)[ \t]*")
_NO_CONTENT: Final = "default-src 'none'"


@dataclass(frozen=True, slots=True)
class BrowserRequest:
    """
    One request of a browser.

    Attributes:
        method: ``"GET"`` or ``"POST"``.
        path: Without the query.
        fields: The query, or the form that was posted. It may hold an authorization code.
    """

    method: str
    path: str
    fields: Mapping[str, str] = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReplyPage:
    """
    The page that the browser shows.

    Attributes:
        status: HTTP status.
        html: The whole page.
        policy: Its Content-Security-Policy.
    """

    status: int
    html: str
    policy: str = _NO_CONTENT


class _InvalidRequestError(Exception):
    """The request is not one that a browser sends after a sign-in."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@final
class LoopbackListener:
    """
    An open listener; made by :func:`listen`.

    Attributes:
        port: The port it listens on.
    """

    def __init__(self, listener: MultiListener[SocketStream], *, read_s: float) -> None:
        self.port = _port_of(listener)
        self._listener = listener
        self._read_s = read_s
        self._responding = 0
        self._responded = anyio.Event()

    async def serve(self, handler: Callable[[BrowserRequest], Awaitable[ReplyPage]], *, hosts: frozenset[str]) -> None:
        """
        Serve until cancelled. Every request has a task of its own.

        Args:
            handler: Returns the page for a request.
            hosts: What the ``Host`` header may be.
        """

        async def handle(stream: SocketStream) -> None:
            async with stream:
                try:
                    await self._handle(stream, handler, hosts)
                except (anyio.BrokenResourceError, anyio.ClosedResourceError, anyio.EndOfStream):
                    return  # the browser went away

        await self._listener.serve(handle)

    async def finish(self, *, within_s: float) -> None:
        """Wait until every response has been read, or so many seconds have passed."""
        with anyio.move_on_after(within_s):
            while self._responding:
                await self._responded.wait()

    async def _handle(
        self, stream: SocketStream, handler: Callable[[BrowserRequest], Awaitable[ReplyPage]], hosts: frozenset[str]
    ) -> None:
        buffered = BufferedByteReceiveStream(stream)
        page: ReplyPage | None = None
        request: BrowserRequest | None = None
        try:
            with anyio.fail_after(self._read_s):
                request = await _read(buffered, hosts)
        except _InvalidRequestError as error:
            page = ReplyPage(error.status, f"{error.status.value} {error.status.phrase}\n")
        except TimeoutError:
            page = ReplyPage(HTTPStatus.REQUEST_TIMEOUT, "408 Request Timeout\n")
        self._responding += 1
        try:
            if page is None and request is not None:
                page = await handler(request)
            if page is not None:
                await stream.send(_encode(page, is_html=request is not None))
            await stream.send_eof()
            # Closing before the browser has read everything could lose the page.
            with anyio.move_on_after(_LINGER_S):
                while True:
                    await stream.receive()
        finally:
            self._responding -= 1
            if not self._responding:
                self._responded.set()
                self._responded = anyio.Event()


@asynccontextmanager
async def listen(port: int = 0, *, read_s: float = _READ_S) -> AsyncGenerator[LoopbackListener]:
    """
    Listen on this machine's loopback addresses, IPv4 and IPv6 alike, and on no other.

    Args:
        port: Which; 0 for any free one.
        read_s: Seconds a request may take to arrive.

    Raises:
        AuthenticationError: If the port is in use or not permitted.
    """
    async with AsyncExitStack() as stack:
        try:
            listeners = await _bind(port, stack)
        except OSError as error:
            message = f"Port {port} of this machine cannot be used: {error.strerror or type(error).__name__}."
            hint = "Leave port= and the port of redirect_uri= out, or end the program that uses it."
            raise AuthenticationError(message, hint=hint, attempts=0) from error
        yield LoopbackListener(MultiListener(listeners), read_s=read_s)


async def _bind(port: int, stack: AsyncExitStack) -> list[Listener[SocketStream]]:
    for attempt in range(_BIND_ATTEMPTS):
        first = await _listen_on("127.0.0.1", port, stack)
        try:
            return [first, await _listen_on("::1", _port_of(first), stack)]
        except OSError as error:
            # A browser may try ::1 first, so no other program may listen there. Having no IPv6 at all is fine.
            if error.errno != errno.EADDRINUSE:
                return [first]
            if port or attempt + 1 == _BIND_ATTEMPTS:
                raise
    raise AssertionError  # the last attempt returns or raises


async def _listen_on(host: str, port: int, stack: AsyncExitStack) -> Listener[SocketStream]:
    (listener,) = (await anyio.create_tcp_listener(local_host=host, local_port=port)).listeners
    stack.push_async_callback(listener.aclose)
    return listener


def _port_of(listener: Listener[SocketStream]) -> int:
    return listener.extra(SocketAttribute.local_port)  # noqa: S610 - it is anyio's, not Django's


async def _read(stream: BufferedByteReceiveStream, hosts: frozenset[str]) -> BrowserRequest:
    try:
        head = (await stream.receive_until(b"\r\n\r\n", _MAX_BYTES)).decode("ascii")
    except anyio.DelimiterNotFound:
        raise _InvalidRequestError(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE) from None
    except UnicodeDecodeError:
        raise _InvalidRequestError(HTTPStatus.BAD_REQUEST) from None
    except anyio.IncompleteRead:
        raise anyio.EndOfStream from None
    first, *lines = head.split("\r\n")
    request = _REQUEST_LINE.fullmatch(first)
    if request is None:
        raise _InvalidRequestError(HTTPStatus.BAD_REQUEST)
    headers = _read_headers(lines)
    if headers.get("host") not in hosts:
        raise _InvalidRequestError(HTTPStatus.MISDIRECTED_REQUEST)
    method, target = request.groups()
    path, _, query = target.partition("?")
    if method == "GET":
        if "transfer-encoding" in headers or headers.get("content-length", "0") != "0":
            raise _InvalidRequestError(HTTPStatus.BAD_REQUEST)
        return BrowserRequest(method, path, _read_fields(query.encode()))
    if method != "POST":
        raise _InvalidRequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    if headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise _InvalidRequestError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not re.fullmatch(r"[0-9]{1,9}", length):
        raise _InvalidRequestError(HTTPStatus.LENGTH_REQUIRED)
    if int(length) > _MAX_BYTES:
        raise _InvalidRequestError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        body = await stream.receive_exactly(int(length)) if int(length) else b""
    except anyio.IncompleteRead:
        raise anyio.EndOfStream from None
    return BrowserRequest(method, path, _read_fields(body))


def _read_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        found = _HEADER.fullmatch(line)
        if found is None or found[1].lower() in headers:
            raise _InvalidRequestError(HTTPStatus.BAD_REQUEST)
        headers[found[1].lower()] = found[2]
    return headers


def _read_fields(form: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(form.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise _InvalidRequestError(HTTPStatus.BAD_REQUEST) from None
    fields = dict(pairs)
    if len(fields) != len(pairs):  # which of the two would be meant?
        raise _InvalidRequestError(HTTPStatus.BAD_REQUEST)
    return fields


def _encode(page: ReplyPage, *, is_html: bool) -> bytes:
    status = HTTPStatus(page.status)
    body = page.html.encode()
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: text/{'html' if is_html else 'plain'}; charset=utf-8",
        f"Content-Length: {len(body)}",
        f"Content-Security-Policy: {page.policy}",
        "Cache-Control: no-store",
        "Referrer-Policy: no-referrer",
        "X-Content-Type-Options: nosniff",
        "Connection: close",
        *(["Allow: GET, POST"] if status is HTTPStatus.METHOD_NOT_ALLOWED else []),
    ]
    return "\r\n".join((*lines, "", "")).encode() + body
