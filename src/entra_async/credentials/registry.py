"""The providers in use: each is opened once, however many connections sign in with it."""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeAlias, final

from entra_async.clouds import Cloud
from entra_async.credentials.provider import Provider, SignInContext
from entra_async.credentials.sources.store_name import stored_as
from entra_async.errors import ConfigurationError
from entra_async.tokens.key import NO_TERMS, AccountPolicy
from entra_async.tokens.source import SigningOutSource, TokenSource

__all__ = ("OpenProvider", "ProviderRegistry")

# The last tells those who signed out from the one who can be joined, for whom it is empty.
_Key: TypeAlias = tuple[Provider, str, Cloud, str]


@dataclass(slots=True, eq=False)
class OpenProvider:
    """
    One provider, signed in against one authority.

    Attributes:
        name: Unique in a Session; stands for client and credential in the key of a token.
        provider: How it signs in: the provider's class.
        authority: Root of the sign-in service.
        source: Gives the tokens.
        terms: What is known of it beside that.
        users: How many connections hold it.
    """

    name: str
    provider: str
    authority: str
    source: TokenSource
    terms: AccountPolicy = NO_TERMS
    users: int = 0

    def is_at_home(self, tenant_id: str) -> bool:
        """Return whether that is the tenant it signs in to."""
        home = self.terms.tenant_id
        return home is not None and tenant_id.lower() == home.lower()


@final
class ProviderRegistry:
    """Every account of a Session."""

    def __init__(self) -> None:
        self._accounts: dict[_Key, OpenProvider] = {}
        self._keys: dict[str, _Key] = {}
        self._numbers = count(1)

    def hold(self, provider: Provider, context: SignInContext) -> OpenProvider:
        """
        Return the account of a provider, opened if it is new; :meth:`release` it as often.

        Raises:
            ConfigurationError: If the provider holds something that cannot be compared.
        """
        key: _Key = provider, context.authority, context.cloud, ""
        try:
            account = self._accounts.get(key)
        except TypeError as error:
            message = f"{type(provider).__name__} holds something that is not hashable: {error}."
            hint = "Give a function instead of such an object, or make its class a frozen dataclass."
            raise ConfigurationError(message, field="provider", hint=hint) from None
        if account is None:
            kind = type(provider).__name__
            name = f"{kind}#{next(self._numbers)}"
            terms = AccountPolicy(
                tenant_id=getattr(provider, "tenant_id", None),
                client_id=getattr(provider, "client_id", None),
                stored_as=stored_as(provider, context.authority),
            )
            account = self._accounts[key] = OpenProvider(name, kind, context.authority, provider.open(context), terms)
            self._keys[name] = key
        account.users += 1
        return account

    async def release(self, account: OpenProvider) -> bool:
        """Return whether that was its last user; if so, its source is closed."""
        if not self.let_go(account):
            return False
        await account.source.aclose()
        return True

    async def sign_out(self, account: OpenProvider) -> None:
        """
        Have the next one who connects with its provider sign in anew, here and at the next start.

        Whoever holds it still goes on until it is released; that may be a connection which another one has replaced.
        """
        key = self._keys.get(account.name)
        if key is not None:
            left = self._keys[account.name] = (*key[:3], account.name)
            self._accounts[left] = self._accounts.pop(key)
        if isinstance(account.source, SigningOutSource):
            await account.source.sign_out()

    def let_go(self, account: OpenProvider) -> bool:
        """Return whether that was its last user; if so, it is forgotten, and its source is the caller's to close."""
        account.users -= 1
        if account.users > 0:
            return False
        key = self._keys.pop(account.name, None)
        if key is not None:  # it is not closed
            del self._accounts[key]
        return True

    def watch(
        self,
        holder: object,
        account: OpenProvider,
        forget: Callable[[str], None],
        start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> weakref.finalize[Any, Any]:
        """
        Let an account go when nobody holds its holder any more.

        Args:
            holder: Who uses the account.
            account: What it uses.
            forget: Drops the tokens of an account.
            start_soon: Starts a task, from wherever it is called.

        Returns:
            What to detach when the account is released by hand.
        """

        async def end() -> None:
            if self.let_go(account):
                forget(account.name)
                await account.source.aclose()

        thread = threading.get_ident()

        def collected() -> None:
            # Objects are collected in whatever thread; tokens are touched in the loop's only.
            if threading.get_ident() != thread or asyncio._get_running_loop() is None:  # noqa: SLF001 - the public one raises
                start_soon(end)
            elif self.let_go(account):
                forget(account.name)
                start_soon(account.source.aclose)

        watching = weakref.finalize(holder, collected)
        watching.atexit = False
        return watching

    async def aclose(self) -> None:
        """Close every source; one that cannot be closed does not keep the others open."""
        accounts, self._accounts = self._accounts, {}
        self._keys.clear()
        async with AsyncExitStack() as stack:
            for account in accounts.values():
                stack.push_async_callback(account.source.aclose)
