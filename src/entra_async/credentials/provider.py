"""What every way to sign in has in common."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from entra_async.config import Clock
from entra_async.tokens.source import TokenSource
from entra_async.transport.msal import MsalEngine

__all__ = ("Provider", "SignInContext")


@dataclass(frozen=True, slots=True)
class SignInContext:
    """
    What a Session lends to a provider.

    Attributes:
        authority: Root of the sign-in service, without a tenant.
        msal: Runs MSAL's flows on the Session's pool.
        clock: Where time comes from.
    """

    authority: str
    msal: MsalEngine
    clock: Clock


@runtime_checkable
class Provider(Protocol):
    """Says what to sign in with: a frozen, hashable value without sockets or tokens, fit to be pickled."""

    def open(self, context: SignInContext) -> TokenSource:
        """Return a live source of tokens. It belongs to the Session and sends nothing yet."""
        ...
