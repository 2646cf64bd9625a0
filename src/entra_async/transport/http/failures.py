"""Translate aiohttp's errors: whether the service may have seen the request, and what to do about it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any, Final

import aiohttp

from entra_async.errors import ClosedError, RequestTimeoutError, TransportError
from entra_async.rules.http.urls import strip_query
from entra_async.rules.sign_in.quoting import quote

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from entra_async.transport.http.messages import HTTPRequest

__all__ = ("HANDSHAKE_ERRORS", "plain_proxy", "translate", "translated_errors")

HANDSHAKE_ERRORS: Final = (
    aiohttp.ConnectionTimeoutError,
    aiohttp.ClientProxyConnectionError,
    aiohttp.ClientConnectorSSLError,
)
"""What aiohttp raises if an ``https://`` proxy speaks no TLS, among other causes."""

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
        aiohttp.ServerFingerprintMismatch,
        TransportError,
        False,
        "The server's certificate is not the one expected",
        "Another server responds in its place, or it was renewed.",
    ),
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


_PASSING: Final = frozenset({408, 429})
_PROXY_AUTHENTICATION: Final = 407
_SERVER_ERROR: Final = 500
_ONE_MORE: Final = 2
# "No such name", and "a name without an address". Others, such as a DNS server that is out of reach, may pass.
_UNKNOWN_NAME: Final = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})
# What OpenSSL says if the other side speaks no TLS, or no version or cipher of ours. It will say so again.
_NO_COMMON_TLS: Final = frozenset(
    {
        "HTTP_REQUEST",
        "NO_CIPHERS_AVAILABLE",
        "NO_PROTOCOLS_AVAILABLE",
        "PACKET_LENGTH_TOO_LONG",
        "RECORD_LAYER_FAILURE",
        "SSLV3_ALERT_HANDSHAKE_FAILURE",
        "TLSV1_ALERT_PROTOCOL_VERSION",
        "UNSUPPORTED_PROTOCOL",
        "WRONG_VERSION_NUMBER",
    }
)
# OpenSSL's X509_V_ERR_…
_CERTIFICATE_HINTS: Final = {
    9: "It is not valid yet, or the clock of this machine is slow.",
    10: "It has expired, or the clock of this machine is fast.",
    62: "Check the host name of the URL: the certificate is for another one.",
    64: "Give the host by the name in its certificate, not by its address.",
}
_UNTRUSTED: Final = (
    "Give the PEM file of the authority that issued it, such as that of a proxy that opens TLS, with "
    "Session(ssl='ca.pem'). Python 3.13 wants VERIFY_X509_STRICT of it."
)
_NAMES: Final = {
    "commonName": "CN",
    "countryName": "C",
    "localityName": "L",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "stateOrProvinceName": "ST",
}


def translated_errors() -> Iterator[type[Exception]]:
    """Yield aiohttp's errors that are translated."""
    yield from (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError)
    yield from (aiohttp.ClientConnectorDNSError, aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError)
    yield from (engine_error for engine_error, *_ in _TRANSLATIONS)


def translate(error: Exception, request: HTTPRequest, *, closed: bool, proxy: str | None = None) -> Exception:
    """
    Return the error to raise instead of *error*, whose message holds headers and queries.

    Args:
        error: What aiohttp raised.
        request: What was sent.
        closed: Whether the pool was closed meanwhile.
        proxy: The URL of the proxy that the request was sent through, or ``None``.
    """
    if closed:
        message = "The Session was closed while a request was in flight."
        return ClosedError(message, hint="Close the Session after the last call has ended.")
    if isinstance(error, TransportError):
        return error
    match error:
        case aiohttp.ClientHttpProxyError():
            return _proxy_status(error, request, proxy)
        case aiohttp.ClientConnectorCertificateError():
            return _untrusted(error, request)
        case aiohttp.ClientConnectorSSLError():
            return _no_common_tls(error, request)
        case aiohttp.ClientConnectorDNSError():
            return _unknown_host(error, request, proxy)
        case aiohttp.ClientProxyConnectionError():
            what = f"The proxy cannot be reached: {_shown(proxy)} ({error.strerror or type(error).__name__})"
            return _unsent(request, what, "Check proxy=, or HTTPS_PROXY.")
    for engine_error, ours, sent, what, hint in _TRANSLATIONS:
        if isinstance(error, engine_error):
            where = request.where
            # Only the errno text of an OSError is known to hold nothing of the request.
            detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            message = f"{request.method} {where}: {what} ({detail})."
            failure = ours(message, sent=sent, method=request.method, url=where, hint=hint)
            failure.max_attempts = 1 if engine_error is aiohttp.InvalidURL else None
            return failure
    return error


def plain_proxy(request: HTTPRequest, proxy: str) -> TransportError:
    """Return the error for a proxy that is to be reached over TLS, and answers in plain HTTP."""
    shown = _shown(proxy)
    hint = f"Give it as proxy='http://{shown.partition('://')[2]}': the requests inside are encrypted all the same."
    return _unsent(request, f"The proxy {shown} speaks no TLS", hint, max_attempts=1)


def _unsent(request: HTTPRequest, what: str, hint: str | None, *, max_attempts: int | None = None) -> TransportError:
    where = request.where
    message = f"{request.method} {where}: {what}."
    error = TransportError(message, sent=False, method=request.method, url=where, hint=hint)
    error.max_attempts = max_attempts
    return error


def _proxy_status(error: aiohttp.ClientHttpProxyError, request: HTTPRequest, proxy: str | None) -> TransportError:
    """Return the error for a proxy's own status. Its reason phrase is not shown: it is the proxy's to choose."""
    status, shown = error.status, _shown(proxy)
    hint = "Ask who runs it whether this host is allowed."
    if status == _PROXY_AUTHENTICATION:
        text = error.headers.get("Proxy-Authenticate", "") if error.headers is not None else ""
        scheme = quote(text.partition(" ")[0])
        address = shown.partition("://")[2]
        if scheme and scheme.lower() != "basic":
            hint = f"It wants {scheme}, and only Basic is supported: use a local proxy that signs in to it."
        elif proxy is not None and "@" in proxy:
            hint = (
                "It does not accept the user and password of proxy= (or HTTPS_PROXY); escape signs such as @ in them."
            )
        else:
            hint = f"Give proxy='http://user:password@{address}'."
        what = f"The proxy refused the connection: 407 Proxy Authentication Required, from {shown}"
        return _unsent(request, what, hint, max_attempts=1)
    final = status < _SERVER_ERROR and status not in _PASSING
    what = f"The proxy refused the connection: {status}, from {shown}"
    return _unsent(request, what, hint if final else "Check proxy=.", max_attempts=1 if final else None)


def _untrusted(error: aiohttp.ClientConnectorCertificateError, request: HTTPRequest) -> TransportError:
    cause = error.certificate_error
    reason = getattr(cause, "verify_message", "") or type(cause).__name__
    certificate = _certificate(cause.__traceback__)
    if certificate:
        reason += f"; subject {_name(certificate, 'subject')}, issuer {_name(certificate, 'issuer')}"
    hint = _CERTIFICATE_HINTS.get(getattr(cause, "verify_code", 0), _UNTRUSTED)
    if hint is not _UNTRUSTED:
        hint = f"{hint} If a proxy opens TLS, trust its authority with ssl=."
    what = f"The certificate of {error.host}:{error.port} is not trusted ({reason})"
    return _unsent(request, what, hint, max_attempts=1)


def _certificate(traceback: TracebackType | None) -> dict[str, Any]:
    """Return the certificate of a handshake that failed; empty if this Python does not tell."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    # The innermost frame is that of ssl.SSLObject.do_handshake: the one place where the peer's certificate is left.
    handshake = None if traceback is None else getattr(traceback.tb_frame.f_locals.get("self"), "_sslobj", None)
    try:
        return dict(handshake.get_unverified_chain()[0].get_info())  # type: ignore[union-attr]  # see below
    except Exception:  # noqa: BLE001 - it is private to ssl until Python 3.13; the error is told without it
        return {}


def _name(certificate: dict[str, Any], field: str) -> str:
    # RFC 4514 begins with the most special.
    pairs = [pair for names in reversed(certificate.get(field, ())) for pair in names]
    return quote(",".join(f"{_NAMES.get(key, key)}={value}" for key, value in pairs)) or "without a name"


def _no_common_tls(error: aiohttp.ClientConnectorSSLError, request: HTTPRequest) -> TransportError:
    reason = getattr(error.os_error, "reason", None) or "SSLError"
    what = f"TLS could not be agreed on with {error.host}:{error.port} ({reason})"
    if reason not in _NO_COMMON_TLS:
        return _unsent(request, what, None)
    hint = "It speaks no TLS at that port, or no version of it that this Python allows."
    return _unsent(request, what, hint, max_attempts=1)


def _unknown_host(error: aiohttp.ClientConnectorDNSError, request: HTTPRequest, proxy: str | None) -> TransportError:
    reason = error.strerror or type(error.os_error).__name__
    is_proxy = error.host.lower() == _shown(proxy).lower().partition("://")[2].rpartition(":")[0]
    what = f"The host name {error.host!r} is not known ({reason})"
    hint = "Check proxy=, or HTTPS_PROXY." if is_proxy else "Check its spelling, and the DNS of this machine."
    return _unsent(request, what, hint, max_attempts=_ONE_MORE if error.errno in _UNKNOWN_NAME else None)


def _shown(proxy: str | None) -> str:
    if proxy is None:
        return "in use"
    scheme, separator, rest = proxy.partition("://")
    return strip_query(f"{scheme}{separator}{rest.rpartition('@')[2]}").rstrip("/")
