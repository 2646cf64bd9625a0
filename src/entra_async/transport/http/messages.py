"""An HTTP request and its response, as the pool sends and returns them."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from typing import Final, Protocol

import msgspec

from entra_async.rules.http.urls import strip_path, strip_query
from entra_async.transport.http.streams import BodyStream

__all__ = ("TOKEN_RESPONSE_BYTES", "BypassProxy", "HTTPRequest", "HTTPResponse", "Transport")

TOKEN_RESPONSE_BYTES: Final = 1 << 20
"""The largest response of a token service, a managed identity or a vault, in bytes."""


class BypassProxy(msgspec.Struct, frozen=True, kw_only=True):
    """
    How to reach a host that is next door: past every proxy, since no proxy may see or could reach it.

    Attributes:
        connect_s: Seconds to connect in, if less than the pool allows.
        certificate_sha256: The only certificate to trust, by its SHA-256 digest; ``None`` for whom the pool trusts.
    """

    connect_s: float | None = None
    certificate_sha256: bytes | None = None


class HTTPRequest(msgspec.Struct, gc=False):
    """
    One HTTP request, ready to be sent.

    Attributes:
        method: In upper case.
        url: Absolute and already escaped; sent as it is.
        headers: Name to value.
        body: Bytes, or ``None``.
        bypass_proxy: How to reach it past the proxy, or ``None`` for the usual way.
        streamed: Whether it may take as long as something moves, and a success is read as it arrives.
        private: Whether the URL is pre-authenticated: then errors and events name no more than its host.
        secret: What authorizes it, as it is in the headers: hidden where a response repeats it.
        response_bytes: The largest response to it, in bytes; 0 for ``Limits.response_bytes``.
    """

    method: str
    url: str
    headers: MutableMapping[str, str] = msgspec.field(default_factory=dict)
    body: bytes | None = None
    bypass_proxy: BypassProxy | None = None
    streamed: bool = False
    private: bool = False
    secret: str = ""
    response_bytes: int = 0

    def __repr__(self) -> str:
        return f"<HTTPRequest {self.method} {self.where}>"

    @property
    def where(self) -> str:
        """What errors, events and logs may show of the URL."""
        return strip_path(self.url) if self.private else strip_query(self.url)


class HTTPResponse(msgspec.Struct):
    """
    One HTTP response.

    Attributes:
        status: HTTP status.
        headers: Name to value; lookups ignore case.
        body: All of it, decompressed; empty if there is a stream.
        stream: The body as it arrives, if that was asked for and the status is a success. Whoever has it closes it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    stream: BodyStream | None = None

    def __repr__(self) -> str:
        return f"<HTTPResponse {self.status}>"


class Transport(Protocol):
    """Sends requests: the pool, and what stands before it."""

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """
        Send *request* once and return the complete response, whatever its status.

        Args:
            request: What is sent.
            within_s: Seconds it may take in all.

        Raises:
            TransportError: If no complete response arrives; ``RequestTimeoutError`` if time ran out.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        ...
