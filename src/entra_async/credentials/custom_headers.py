"""Headers instead of a token, for services with an authentication of their own."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Final

import anyio

from entra_async.credentials.interactive.callback import call
from entra_async.credentials.provider import SignInContext
from entra_async.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialUnavailableError,
    RequestTimeoutError,
)
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

__all__ = ("CustomHeaders", "CustomHeadersSource")

# RFC 9110, sections 5.1 and 5.5: a token, and visible characters with blanks between them.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\x21-\x7e]([\x20-\x7e\t]*[\x21-\x7e])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomHeaders:
    """
    A callable that returns the headers to send instead of a token. It is called before each attempt of each request.

    Attributes:
        headers: Returns name to value; a plain function or a coroutine function. A plain one runs in a thread.
        timeout_s: Seconds it may take.

    Raises:
        ConfigurationError: If *headers* cannot be called, or the time is not greater than zero.

    Example:
        ::

            await session.connect(CustomHeaders(headers=lambda: {"X-Api-Key": read_key()}), service="Orders")
    """

    headers: Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]] = field(repr=False)
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not callable(self.headers) or isinstance(self.headers, type):
            message = f"headers is a {type(self.headers).__name__}, which cannot be called."
            hint = "Give a function that returns a dict, such as lambda: {'X-Api-Key': key}."
            raise ConfigurationError(message, field="headers", hint=hint)
        if not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0:
            message = f"timeout_s is {self.timeout_s!r}."
            raise ConfigurationError(message, field="timeout_s", hint="Give a number greater than zero.")

    def open(self, context: SignInContext) -> TokenSource:  # noqa: ARG002 - the protocol's; headers need nothing of it
        """Return a source of headers in place of tokens; the Session calls this."""
        return CustomHeadersSource(self)


@dataclass(frozen=True, slots=True)
class CustomHeadersSource:
    """A source of headers, not of tokens: it is itself the authorization of the pipeline."""

    provider: CustomHeaders

    def try_attach(self, headers: MutableMapping[str, str]) -> str | None:
        """Return ``None``: the callable may block."""
        del headers
        return None

    async def attach(self, headers: MutableMapping[str, str], *, within_s: float) -> str:
        """
        Add the callable's headers to those of a request.

        Args:
            headers: Of the request; changed.
            within_s: Seconds the request has left.

        Returns:
            The longest value that was added: what an error must not show.

        Raises:
            AuthenticationError: If the callable fails, takes too long, or returns what cannot be sent as headers.
            RequestTimeoutError: If the request has no more time.
        """
        limit_s = self.provider.timeout_s
        with anyio.move_on_after(within_s):
            added = await call(self.provider.headers, what="The callable of CustomHeaders", within_s=limit_s)
            headers.update(_check(added))
            return max(added.values(), key=len, default="")
        message = f"The callable of CustomHeaders gave no answer within {within_s:g} s."
        raise RequestTimeoutError(message, sent=False, hint="Give the call more time with timeout=.")

    def rejected(self, secret: str, claims: str | None) -> None:
        """Do nothing: the callable is called again in any case."""

    async def get_token(self, *_: str, **__: Any) -> Token:
        """
        Raise, since there is no token.

        Raises:
            CredentialUnavailableError: Always.
        """
        message = "This connection is authorized by headers of its own, so it has no token."
        raise CredentialUnavailableError(message, hint="Use its request methods; it is no credential for other SDKs.")

    async def aclose(self) -> None:
        """Do nothing: it holds no resources."""


def _check(headers: object) -> Mapping[str, str]:
    if not isinstance(headers, Mapping):
        message = f"The callable of CustomHeaders returned a {type(headers).__name__}."
        raise AuthenticationError(message, hint="Return a dict of names and values.")
    for name, value in headers.items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            message = "The callable of CustomHeaders returned a name that no header can have."
            raise AuthenticationError(message, hint="Use letters, digits and hyphens.")
        if not isinstance(value, str) or not _VALUE.fullmatch(value):
            message = f"The callable of CustomHeaders returned a value of {name!r} that cannot be sent."
            raise AuthenticationError(message, hint="Return a text of one line, without blanks around it.")
    return headers
