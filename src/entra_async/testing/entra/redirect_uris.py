"""
Redirect URIs: which can be registered, and which registered one a request means.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/reply-url
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ("check_registrable", "is_registered")

_LONGEST: Final = 256
_PLAIN_HTTP_HOSTS: Final = frozenset({"localhost", "127.0.0.1"})
_FORBIDDEN: Final = frozenset("!$'(),;*")


def check_registrable(uri: str) -> str:
    """
    Return *uri* if an app may register it.

    Raises:
        ValueError: If it is too long, holds a forbidden character or fragment, or is neither https nor loopback.
    """
    parts = urlsplit(uri)
    if len(uri) > _LONGEST or parts.fragment or _FORBIDDEN & set(uri) or not parts.netloc:
        message = f"{uri!r} can't be a redirect URI: at most {_LONGEST} characters, none of !$'(),;* and no fragment."
        raise ValueError(message)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _PLAIN_HTTP_HOSTS):
        message = f"{uri!r} can't be a redirect URI: it must be https, or http on localhost."
        raise ValueError(message)
    return uri


def is_registered(uri: str, registered: Iterable[str]) -> bool:
    """
    Return whether *uri* is one of the registered ones: exactly, but for the port of ``localhost``.

    Args:
        uri: As the request names it. A path is compared letter by letter; none is as good as ``/``.
        registered: What the app registered.
    """
    try:
        parts = urlsplit(uri)
        wanted = _comparable(parts)
    except ValueError:  # a port that is no number
        return False
    if parts.fragment or len(uri) > _LONGEST or parts.username is not None:
        return False
    return any(wanted == _comparable(urlsplit(known)) for known in registered)


def _comparable(parts: SplitResult) -> tuple[str, str, int | None, str, str]:
    host = parts.hostname or ""
    port = parts.port  # raises for what is no number
    if host == "localhost":
        port = None  # RFC 8252, section 7.3: an app takes whatever port is free; for 127.0.0.1 Entra ID keeps comparing
    return parts.scheme, host, port, parts.path or "/", parts.query
