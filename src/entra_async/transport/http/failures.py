"""Translate aiohttp's errors: whether the service may have seen the request, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import aiohttp

from entra_async.errors import ClosedError, RequestTimeoutError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from entra_async.transport.http.messages import HTTPRequest

__all__ = ("translate", "translated_errors")

# Most special first, and a TimeoutError before the OSError it is. ``True``: the service may have seen the request.
_TRANSLATIONS: Final[tuple[tuple[type[Exception], type[TransportError], bool, str, str | None], ...]] = (
    (
        aiohttp.ConnectionTimeoutError,
        RequestTimeoutError,
        False,
        "No connection came about in time",
        "Check the network and the proxy, or raise Timeouts.connect_s.",
    ),
    (
        aiohttp.ClientConnectorCertificateError,
        TransportError,
        False,
        "The server's certificate is not trusted",
        "Behind a proxy that opens TLS, give its authority with ssl=. Python 3.13 wants VERIFY_X509_STRICT of it.",
    ),
    (
        aiohttp.ServerFingerprintMismatch,
        TransportError,
        False,
        "The server's certificate is not the one expected",
        "Another server responds in its place, or it was renewed.",
    ),
    (aiohttp.ClientConnectorSSLError, TransportError, False, "TLS could not be agreed on", None),
    (
        aiohttp.ClientConnectorDNSError,
        TransportError,
        False,
        "The host name is not known",
        "Check the name and the DNS.",
    ),
    (aiohttp.ClientProxyConnectionError, TransportError, False, "The proxy cannot be reached", "Check proxy=."),
    (aiohttp.ClientHttpProxyError, TransportError, False, "The proxy refused the connection", "Check proxy=."),
    (aiohttp.ClientConnectorError, TransportError, False, "The host cannot be reached", None),
    (
        TimeoutError,
        RequestTimeoutError,
        True,
        "The response took too long",
        "Raise Timeouts.response_s if the service needs longer.",
    ),
    (
        aiohttp.ServerDisconnectedError,
        TransportError,
        True,
        "The server closed the connection without a response",
        None,
    ),
    (aiohttp.ClientPayloadError, TransportError, True, "The response broke off", None),
    (aiohttp.ClientOSError, TransportError, True, "The connection was lost", None),
    (aiohttp.ClientResponseError, TransportError, True, "The response is no HTTP", None),
    (aiohttp.InvalidURL, TransportError, False, "The URL cannot be sent", None),
    (aiohttp.ClientError, TransportError, True, "The connection failed", None),
    (OSError, TransportError, True, "The connection was lost", None),
)


def translated_errors() -> Iterator[type[Exception]]:
    """Yield aiohttp's errors that are translated."""
    return (engine_error for engine_error, *_ in _TRANSLATIONS)


def translate(error: Exception, request: HTTPRequest, *, closed: bool) -> Exception:
    """
    Return the error to raise instead of *error*, whose message holds headers and queries.

    Args:
        error: What aiohttp raised.
        request: What was sent.
        closed: Whether the pool was closed meanwhile.
    """
    if closed:
        message = "The Session was closed while a request was in flight."
        return ClosedError(message, hint="Close the Session after the last call has ended.")
    if isinstance(error, TransportError):
        return error
    for engine_error, ours, sent, what, hint in _TRANSLATIONS:
        if isinstance(error, engine_error):
            where = request.where
            # Only the errno text of an OSError is known to hold nothing of the request.
            detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            message = f"{request.method} {where}: {what} ({detail})."
            return ours(message, sent=sent, method=request.method, url=where, hint=hint)
    return error
