"""
Trust a certificate by its thumbprint alone.

Service Fabric names its certificate by SHA-1, which aiohttp rightly refuses to pin. So the certificate is fetched
first, compared, and pinned by SHA-256: nothing is sent to a host that shows another one.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from contextlib import suppress
from urllib.parse import urlsplit

import anyio

from entra_async.errors import RequestTimeoutError, TransportError
from entra_async.rules.http.urls import strip_query

__all__ = ("pin_certificate",)


async def pin_certificate(url: str, *, thumbprint: str, within_s: float) -> bytes:
    """
    Return the SHA-256 digest of a host's certificate, if its thumbprint is the expected one.

    Args:
        url: Any ``https`` URL of the host.
        thumbprint: SHA-1 of the certificate, 40 hexadecimal digits.
        within_s: Seconds it may take.

    Raises:
        TransportError: If the host has another certificate, or none; nothing was sent to it.
    """
    where = strip_query(url)
    try:
        with anyio.fail_after(within_s):
            certificate = await _fetch(url)
    except TimeoutError as error:
        message = f"{where}: no certificate came in time."
        raise RequestTimeoutError(message, sent=False, url=where) from error
    except OSError as error:
        message = f"{where}: no certificate could be fetched."
        raise TransportError(message, sent=False, url=where) from error
    # Not a choice of ours: the thumbprint that Service Fabric names is SHA-1.
    if not hmac.compare_digest(hashlib.sha1(certificate, usedforsecurity=False).hexdigest(), thumbprint.lower()):
        message = f"{where}: the certificate is not the one whose thumbprint was given."
        hint = "Another server responds in its place, or IDENTITY_SERVER_THUMBPRINT is out of date."
        raise TransportError(message, sent=False, url=where, hint=hint)
    return hashlib.sha256(certificate).digest()


async def _fetch(url: str) -> bytes:
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # The certificate is self-signed, so there is no authority to check; the thumbprint decides.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    _, writer = await asyncio.open_connection(parts.hostname, parts.port or 443, ssl=context)
    try:
        return writer.get_extra_info("ssl_object").getpeercert(binary_form=True) or b""
    finally:
        writer.transport.abort()
        with suppress(OSError):
            await writer.wait_closed()
