"""The token that resumes a long-running operation in another process: the URL to poll, as a text."""

from __future__ import annotations

import binascii
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, Self

import msgspec

from entra_async.errors import ConfigurationError, UnsafeLinkError
from entra_async.rules.http.links import check_https_link
from entra_async.rules.http.urls import origin_of, strip_query
from entra_async.rules.operations import PollingMethod

__all__ = ("ResumeToken", "is_own")

_VERSION: Final = "op1."


class ResumeToken(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    How and where an operation is polled.

    Attributes:
        root: The service's root: a connection to another service cannot resume it.
        method: HTTP method of the request that began it.
        url: URL of that request.
        polling: How it is polled.
        monitor: URL to poll.
        location: URL of the result of a POST once it is done, or ``None``.
    """

    root: str
    method: str
    url: str
    polling: PollingMethod
    monitor: str
    location: str | None = None

    def __repr__(self) -> str:
        return f"<ResumeToken of a {self.method} at {self.root}>"

    def write(self) -> str:
        """Return it as a text of letters, digits, ``-``, ``_`` and ``.``."""
        return _VERSION + urlsafe_b64encode(msgspec.json.encode(self)).decode().rstrip("=")

    @classmethod
    def read(cls, token: object, *, root: str) -> Self:
        """
        Return what :meth:`write` wrote.

        Args:
            token: The text.
            root: Root of the connection's service.

        Raises:
            ConfigurationError: If it is no such text, or of another service.
        """
        found: Self | None = None
        if isinstance(token, str) and token.startswith(_VERSION):
            text = token.removeprefix(_VERSION)
            try:
                found = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=cls)
                usable = is_own(found.url, root=found.root)
                for link in (found.monitor, found.location or found.url, found.url):
                    check_https_link(link, source=root)
            except (ValueError, msgspec.DecodeError, binascii.Error, UnsafeLinkError):
                usable = False
            found = found if usable else None
        if found is None:
            message = "token is not the token of an operation."
            raise ConfigurationError(message, field="token", hint="Give Operation.token as it was.")
        if found.root != root:
            message = f"The operation is one of {strip_query(found.root)}, not of {root}."
            raise ConfigurationError(message, field="token", hint="Resume it on a connection to the same service.")
        return found


def is_own(url: str, *, root: str) -> bool:
    """
    Return whether *url* is on the service's own host, which gets its token.

    Raises:
        ValueError: If the URL has no valid host or port.
    """
    return origin_of(url) == origin_of(root)
