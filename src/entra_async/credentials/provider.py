"""The protocol of providers, and what a Session provides to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from entra_async.clouds import Cloud
from entra_async.config import Clock
from entra_async.credentials.refresh_tokens import RefreshTokens
from entra_async.tokens.shared import SharedTokens
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token
from entra_async.transport.http.pool import Pool
from entra_async.transport.msal import MsalEngine

__all__ = ("Provider", "SignInContext")


@dataclass(frozen=True, slots=True)
class SignInContext:
    """
    What a Session provides to a provider.

    Attributes:
        authority: Root of the sign-in service, without a tenant.
        cloud: The cloud signed in to.
        pool: Where every request goes.
        msal: Runs MSAL's flows on the pool.
        clock: Where time comes from.
        connected: Returns ``get_token`` of the Session's connection to a service, or ``None`` while there is none.
        refresh_tokens: Those of the Session's users.
        shared: The token store that other processes use as well, if any.
    """

    authority: str
    cloud: Cloud
    pool: Pool
    msal: MsalEngine
    clock: Clock
    connected: Callable[[str], Callable[..., Awaitable[Token]] | None]
    refresh_tokens: RefreshTokens
    shared: SharedTokens | None = None


@runtime_checkable
class Provider(Protocol):
    """What to sign in with: a frozen, hashable value without sockets or tokens, which can be pickled."""

    def open(self, context: SignInContext) -> TokenSource:
        """Return a token source. It belongs to the Session and sends nothing yet."""
        ...
