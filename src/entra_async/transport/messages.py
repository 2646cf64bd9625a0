"""A request and its answer, as the pool carries them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from entra_async.rules.http.urls import strip_path, strip_query
from entra_async.transport.streams import BodyStream

__all__ = ("BypassProxy", "HTTPRequest", "HTTPResponse", "ResponseHeaders", "Transport")


@dataclass(frozen=True, slots=True, kw_only=True)
class BypassProxy:
    """
    How to reach a host that is next door: past every proxy, since no proxy may see or could reach it.

    Attributes:
        connect_s: Seconds to connect in, if less than the pool allows.
        certificate_sha256: The only certificate to trust, by its SHA-256 digest; ``None`` for whom the pool trusts.
    """

    connect_s: float | None = None
    certificate_sha256: bytes | None = None


@dataclass(slots=True, repr=False)
class HTTPRequest:
    """
    One HTTP request, ready to be sent.

    Attributes:
        method: In upper case.
        url: Absolute and already escaped; sent as it is.
        headers: Name to value.
        body: Bytes, or ``None``.
        direct: How to reach it past the proxy, or ``None`` for the usual way.
        streamed: Whether it may take as long as something moves, and a good answer is read as it arrives.
        private: Whether whoever knows the URL may use it: then errors and events name no more than its host.
    """

    method: str
    url: str
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    body: bytes | None = field(default=None, repr=False)
    direct: BypassProxy | None = None
    streamed: bool = False
    private: bool = False

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.where}>"

    @property
    def where(self) -> str:
        """What errors, events and logs may show of the URL."""
        return strip_path(self.url) if self.private else strip_query(self.url)


@dataclass(slots=True)
class HTTPResponse:
    """
    One HTTP answer.

    Attributes:
        status: HTTP status.
        headers: Name to value; lookups ignore case.
        body: All of it, decompressed; nothing if there is a stream.
        stream: The body as it arrives, if that was asked for and the answer is a success. Whoever has it closes it.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    stream: BodyStream | None = field(default=None, repr=False)


class ResponseHeaders(Mapping[str, str]):
    """
    The headers of an answer that was not read from a socket: lookups ignore case (RFC 9110, section 5.1).

    Args:
        fields: Name to value.
    """

    __slots__ = ("_fields",)

    def __init__(self, fields: Mapping[str, str]) -> None:
        self._fields = {name.lower(): (name, value) for name, value in fields.items()}

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)


class Transport(Protocol):
    """What carries requests: the pool, and what stands before it."""

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """
        Send *request* once and return the complete answer, whatever its status.

        Args:
            request: What is sent.
            within_s: Seconds it may take in all.

        Raises:
            TransportError: If no complete answer arrives; ``RequestTimeoutError`` if time ran out.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        ...
