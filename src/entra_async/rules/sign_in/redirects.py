"""
Redirect URIs of a sign-in in the browser: the loopback addresses of native apps. Pure.

Source:
    RFC 8252, sections 7.3 and 8.3 (loopback redirects of native apps)
    https://learn.microsoft.com/en-us/entra/identity-platform/reply-url
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from entra_async.errors import ConfigurationError

__all__ = ("Redirect", "check_redirect_uri", "choose_port", "redirect_to")

_MAX_LENGTH: Final = 256
_HTTP_PORT: Final = 80
_LOCAL: Final = ("localhost", "127.0.0.1")


@dataclass(frozen=True, slots=True)
class Redirect:
    """
    The redirect of an authorization response.

    Attributes:
        uri: The redirect URI, exactly as it is sent.
        path: The path the browser requests.
        hosts: What its ``Host`` header may be. Any other name may be DNS rebinding.
    """

    uri: str
    path: str
    hosts: frozenset[str]


def check_redirect_uri(uri: object) -> str:
    """
    Return *uri* if it is a loopback redirect URI: ``http://localhost``, with or without port and path.

    Entra ID ignores the port of ``localhost`` and nothing else, so ``127.0.0.1`` needs one.

    Raises:
        ConfigurationError: If it is anything else.
    """
    parts = _split(uri) if isinstance(uri, str) and len(uri) <= _MAX_LENGTH else None
    if not isinstance(uri, str) or parts is None:
        message = f"redirect_uri is {uri!r}, where no listener on this machine can be reached."
        hint = "Give 'http://localhost', with a port or a path if the app registration has them; or leave it out."
        raise ConfigurationError(message, field="redirect_uri", hint=hint)
    if parts.hostname != "localhost" and not parts.port:
        message = f"redirect_uri is {uri!r}, which names no port."
        hint = "Give the port that is registered, or use localhost, whose port Entra ID ignores."
        raise ConfigurationError(message, field="redirect_uri", hint=hint)
    return uri


def _split(uri: str) -> SplitResult | None:
    try:
        parts = urlsplit(uri)
        usable = parts.scheme == "http" and parts.hostname in _LOCAL and parts.port != 0
    except ValueError:
        return None
    usable = usable and uri.isascii() and uri.isprintable() and " " not in uri and "%" not in uri
    usable = usable and not ("?" in uri or "#" in uri or "@" in parts.netloc or parts.netloc.endswith(":"))
    # Browsers would normalize such a path, and then request another one.
    usable = usable and "\\" not in uri and not {".", ".."} & set(parts.path.split("/"))
    return parts if usable else None


def choose_port(uri: str | None, *, port: int) -> int:
    """
    Return the port to listen on; 0 for any free one.

    Args:
        uri: A checked redirect URI, or ``None``.
        port: What the caller wants; 0 for the port of *uri*, if it has one.
    """
    return port or (urlsplit(uri).port if uri else None) or 0


def redirect_to(uri: str | None, *, port: int) -> Redirect:
    """
    Return the redirect for a listener on *port*.

    A redirect URI with a port is sent as it is: what listens there passes requests on. Without one it gets *port*.

    Example:
        >>> redirect_to("http://localhost/signed-in", port=49152).uri
        'http://localhost:49152/signed-in'
    """
    parts = urlsplit(uri or "http://localhost")
    netloc = parts.netloc if parts.port else f"{parts.netloc}:{port}"
    hosts = {f"{name}:{port}" for name in (*_LOCAL, "[::1]")} | {netloc}
    # A browser leaves the usual port of http out.
    hosts |= {host.rpartition(":")[0] for host in hosts if host.endswith(f":{_HTTP_PORT}")}
    return Redirect(f"http://{netloc}{parts.path}", parts.path or "/", frozenset(hosts))
