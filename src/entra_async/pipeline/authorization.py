"""The authorization of a request: attached to each attempt, after its URL was checked."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Protocol, final, runtime_checkable

import anyio

from entra_async.errors import RequestTimeoutError
from entra_async.tokens.broker import Broker
from entra_async.tokens.key import NO_POLICY, AccountPolicy, TokenKey
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token
from entra_async.transport.http.messages import HTTPRequest, HTTPResponse, Transport

__all__ = ("Authorization", "AuthorizedTransport", "BearerToken", "BorrowedAuthorization", "NoAuthorization")


@runtime_checkable
class Authorization(Protocol):
    """Attaches a token, or other headers. A token source that returns no tokens, but headers, is one itself."""

    def try_attach(self, headers: MutableMapping[str, str]) -> str | None:
        """Do what :meth:`attach` does if nothing has to be waited for, or return ``None``."""
        ...

    async def attach(self, headers: MutableMapping[str, str], *, within_s: float) -> str:
        """
        Add what is needed to the headers of a request.

        Args:
            headers: Of the request; changed.
            within_s: Seconds it may take.

        Returns:
            The secret that was added: to be given to :meth:`rejected`, and never to be shown.

        Raises:
            AuthenticationError: If there is nothing to attach.
            RequestTimeoutError: If it takes too long.
        """
        ...

    def rejected(self, secret: str, claims: str | None) -> None:
        """
        Take note that the service answered 401.

        Args:
            secret: What the attempt carried.
            claims: The claims of the service's claims challenge, a JSON text; ``None`` if there is none.
        """
        ...


@final
class NoAuthorization:
    """Attaches nothing: for pre-authenticated URLs."""

    def try_attach(self, headers: MutableMapping[str, str]) -> str | None:
        """Leave the headers as they are; see :class:`Authorization`."""
        del headers
        return ""

    async def attach(self, headers: MutableMapping[str, str], *, within_s: float) -> str:
        """Leave the headers as they are; see :class:`Authorization`."""
        del headers, within_s
        return ""

    def rejected(self, secret: str, claims: str | None) -> None:
        """Do nothing: there is nothing else to try."""


@final
class BearerToken:
    """
    A token of the broker's (RFC 6750, section 2.1).

    Args:
        broker: Caches the tokens.
        key: Which one.
        source: What it is requested from.
        policy: The policy of its account.
    """

    def __init__(self, broker: Broker, key: TokenKey, source: TokenSource, policy: AccountPolicy = NO_POLICY) -> None:
        self._broker = broker
        self._key = key
        self._source = source
        self._policy = policy
        # The last token, and how it is sent.
        self._token: Token | None = None
        self._secret = self._header = ""

    def try_attach(self, headers: MutableMapping[str, str]) -> str | None:
        """Add the token, if it is in the cache; see :class:`Authorization`."""
        token = self._broker.find(self._key)
        if token is None:
            return None
        if token is not self._token:
            self._token, self._secret, self._header = token, token.token, f"Bearer {token.token}"
        headers["Authorization"] = self._header
        return self._secret

    async def attach(self, headers: MutableMapping[str, str], *, within_s: float) -> str:
        """Add the token; see :class:`Authorization`."""
        token: Token | None = None
        with anyio.move_on_after(within_s):
            token = await self._broker.get(self._key, self._source, self._policy)
        if token is None:
            message = f"No token came within {within_s:g} s."
            raise RequestTimeoutError(message, sent=False, hint="Give the call more time with timeout=.")
        secret = token.token
        headers["Authorization"] = f"Bearer {secret}"
        return secret

    def rejected(self, secret: str, claims: str | None) -> None:
        """Forget exactly this token, unless another took its place already: the next attempt requests a new one."""
        self._token, self._secret, self._header = None, "", ""
        self._broker.rejected(self._key, secret, claims)


@final
class BorrowedAuthorization:
    """
    The authorization of a request in a batch: the request for the batch carries the secret.

    Args:
        outer: The authorization of the batch.
    """

    def __init__(self, outer: Authorization) -> None:
        self._outer = outer

    def try_attach(self, headers: MutableMapping[str, str]) -> str | None:  # noqa: ARG002 - nothing to add
        """Return the secret without adding it; see :class:`Authorization`."""
        return self._outer.try_attach({})

    async def attach(self, headers: MutableMapping[str, str], *, within_s: float) -> str:  # noqa: ARG002 - nothing to add
        """Return the secret without adding it; see :class:`Authorization`."""
        return await self._outer.attach({}, within_s=within_s)

    def rejected(self, secret: str, claims: str | None) -> None:
        """Pass it on: it is the same secret."""
        self._outer.rejected(secret, claims)


@final
class AuthorizedTransport:
    """
    Sends each request once, authorized, past the limiters: for batches, whose items have passed limiters of their own.

    Args:
        transport: Where they go.
        authorization: What is attached.
    """

    def __init__(self, transport: Transport, authorization: Authorization) -> None:
        self._transport = transport
        self._authorization = authorization

    async def send(self, request: HTTPRequest, *, within_s: float) -> HTTPResponse:
        """Attach, and send; see :class:`~entra_async.transport.http.messages.Transport`."""
        await self._authorization.attach(request.headers, within_s=within_s)
        return await self._transport.send(request, within_s=within_s)
