"""The proxies that the environment configures."""

from __future__ import annotations

import urllib.request

from yarl import URL

__all__ = ("EnvironmentProxies",)


class EnvironmentProxies:
    """
    The proxies of ``HTTPS_PROXY``, ``HTTP_PROXY`` and ``NO_PROXY``; on macOS and Windows the system's settings, too.

    aiohttp's own support would also send the credentials of ``~/.netrc`` to the services. Reads the system's settings:
    make it in a worker thread.
    """

    def __init__(self) -> None:
        self._proxies = urllib.request.getproxies()
        self._known: dict[tuple[str, str], str | None] = {}

    def find(self, url: URL) -> str | None:
        """Return the proxy for a URL, or ``None`` if it is reached directly."""
        key = url.scheme, url.host or ""
        if key not in self._known:
            bypassed = not key[1] or urllib.request.proxy_bypass(key[1])
            self._known[key] = None if bypassed else self._proxies.get(url.scheme)
        return self._known[key]
