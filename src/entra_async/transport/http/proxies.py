"""The proxies that the environment configures, and whether one speaks TLS."""

from __future__ import annotations

import asyncio
import urllib.request
from contextlib import suppress
from typing import Final

import anyio
from yarl import URL

__all__ = ("EnvironmentProxies", "is_over_tls", "speaks_plain_http")

_PROBE: Final = b"OPTIONS * HTTP/1.0\r\n\r\n"
_PROBE_S: Final = 3.0


class EnvironmentProxies:
    """
    The proxies of ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``; on macOS and Windows the system's settings, too.

    aiohttp's own support would also send the credentials of ``~/.netrc`` to the services. Reads the system's settings:
    make it in a worker thread.
    """

    def __init__(self) -> None:
        self._proxies = urllib.request.getproxies()
        self._known: dict[tuple[str, str], str | None] = {}

    @property
    def over_tls(self) -> bool:
        """Whether one of them is reached over TLS."""
        return any(map(is_over_tls, self._proxies.values()))

    def find(self, url: URL) -> str | None:
        """Return the proxy for a URL, or ``None`` if it is reached directly."""
        key = url.scheme, url.host or ""
        if key not in self._known:
            bypassed = not key[1] or urllib.request.proxy_bypass(key[1])
            self._known[key] = None if bypassed else self._proxies.get(url.scheme)
        return self._known[key]


def is_over_tls(proxy: str | None) -> bool:
    """Return whether a proxy is reached over TLS."""
    return proxy is not None and proxy.lower().startswith("https:")


async def speaks_plain_http(proxy: str) -> bool:
    """
    Return whether a proxy answers in plain HTTP where TLS is expected.

    Many wait without a word for the end of what they take for a request: the handshake then ends by its time-out, which
    tells nothing. Sends no host name and no credentials.
    """
    url = URL(proxy)
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError), anyio.fail_after(_PROBE_S):
        reader, writer = await asyncio.open_connection(url.host, url.port)
        try:
            writer.write(_PROBE)
            return await reader.readexactly(5) == b"HTTP/"
        finally:
            writer.transport.abort()
    return False
