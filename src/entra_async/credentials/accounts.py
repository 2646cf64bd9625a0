"""The providers in use: each is opened once, however many connections sign in with it."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import final

from entra_async.credentials.provider import Provider, SignInContext
from entra_async.tokens.source import TokenSource

__all__ = ("Account", "Accounts")


@dataclass(slots=True, eq=False)
class Account:
    """
    One provider, signed in against one authority.

    Attributes:
        name: Unique in a Session; stands for client and credential in the key of a token.
        provider: How it signs in: the provider's class.
        authority: Root of the sign-in service.
        source: Gives the tokens.
        tenant_id: Where it signs in, or ``None`` if the provider does not say.
        users: How many connections hold it.
    """

    name: str
    provider: str
    authority: str
    source: TokenSource
    tenant_id: str | None = None
    users: int = 0

    def is_at_home(self, tenant_id: str) -> bool:
        """Return whether that is the tenant it signs in to."""
        return self.tenant_id is not None and tenant_id.lower() == self.tenant_id.lower()


@final
class Accounts:
    """Every account of a Session."""

    def __init__(self) -> None:
        self._accounts: dict[tuple[Provider, str], Account] = {}
        self._numbers = count(1)

    def hold(self, provider: Provider, context: SignInContext) -> Account:
        """Return the account of a provider, opened if it is new; :meth:`release` it as often."""
        key = provider, context.authority
        account = self._accounts.get(key)
        if account is None:
            kind = type(provider).__name__
            name = f"{kind}#{next(self._numbers)}"
            account = self._accounts[key] = Account(
                name, kind, context.authority, provider.open(context), tenant_id=getattr(provider, "tenant_id", None)
            )
        account.users += 1
        return account

    async def release(self, account: Account) -> bool:
        """Return whether that was its last user; if so, its source is closed."""
        account.users -= 1
        if account.users > 0:
            return False
        self._accounts = {key: other for key, other in self._accounts.items() if other is not account}
        await account.source.aclose()
        return True

    async def aclose(self) -> None:
        """Close every source; one that cannot be closed does not keep the others open."""
        accounts, self._accounts = self._accounts, {}
        async with AsyncExitStack() as stack:
            for account in accounts.values():
                stack.push_async_callback(account.source.aclose)
