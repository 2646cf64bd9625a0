"""The provider registry: each provider is opened once, however many connections sign in with it."""

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
from entra_async.tokens.key import NO_POLICY, AccountPolicy
from entra_async.tokens.source import SupportsSignOut, TokenSource

__all__ = ("OpenProvider", "ProviderRegistry")

# The last is empty, except for accounts that signed out, which nobody can acquire any more.
_Key: TypeAlias = tuple[Provider, str, Cloud, str]


@dataclass(slots=True, eq=False)
class OpenProvider:
    """
    An opened provider: an account of one sign-in service.

    Attributes:
        name: Unique in a Session; identifies client and credential in the key of a token.
        provider: How it signs in: the provider's class.
        authority: Root of the sign-in service.
        source: Its token source.
        policy: What its tokens have to be, and how they are stored.
        references: How many connections have acquired it.
    """

    name: str
    provider: str
    authority: str
    source: TokenSource
    policy: AccountPolicy = NO_POLICY
    references: int = 0

    def is_home_tenant(self, tenant_id: str) -> bool:
        """Return whether that is the tenant it signs in to."""
        home = self.policy.tenant_id
        return home is not None and tenant_id.lower() == home.lower()


@final
class ProviderRegistry:
    """The opened providers of a Session, counted by reference."""

    def __init__(self) -> None:
        self._accounts: dict[_Key, OpenProvider] = {}
        self._keys: dict[str, _Key] = {}
        self._numbers = count(1)

    def acquire(self, provider: Provider, context: SignInContext) -> OpenProvider:
        """
        Return the account of a provider, opened if it is new; :meth:`release` it as often.

        Raises:
            ConfigurationError: If the provider holds something that is not hashable.
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
            policy = AccountPolicy(
                tenant_id=getattr(provider, "tenant_id", None),
                client_id=getattr(provider, "client_id", None),
                stored_as=stored_as(provider, context.authority),
            )
            account = self._accounts[key] = OpenProvider(name, kind, context.authority, provider.open(context), policy)
            self._keys[name] = key
        account.references += 1
        return account

    async def release(self, account: OpenProvider) -> bool:
        """Release an account; close its source and return ``True`` if that was the last reference."""
        if not self._drop_reference(account):
            return False
        await account.source.aclose()
        return True

    async def sign_out(self, account: OpenProvider) -> None:
        """
        Make the next connection of its provider sign in anew, here and at the next start.

        Connections that have acquired it go on until they release it; one may have been replaced by another.
        """
        key = self._keys.get(account.name)
        if key is not None:
            signed_out = self._keys[account.name] = (*key[:3], account.name)
            self._accounts[signed_out] = self._accounts.pop(key)
        if isinstance(account.source, SupportsSignOut):
            await account.source.sign_out()

    def _drop_reference(self, account: OpenProvider) -> bool:
        account.references -= 1
        if account.references > 0:
            return False
        key = self._keys.pop(account.name, None)
        if key is not None:  # it is not closed
            del self._accounts[key]
        return True

    def watch(
        self,
        owner: object,
        account: OpenProvider,
        forget: Callable[[str], None],
        start_soon: Callable[[Callable[[], Coroutine[Any, Any, None]]], None],
    ) -> weakref.finalize[Any, Any]:
        """
        Release an account when its owner is garbage-collected.

        Args:
            owner: The object that uses the account.
            account: The account.
            forget: Drops the tokens of an account.
            start_soon: Starts a task, from any thread.

        Returns:
            The finalizer, to be detached when the account is released by hand.
        """

        async def release() -> None:
            if self._drop_reference(account):
                forget(account.name)
                await account.source.aclose()

        thread = threading.get_ident()

        def collected() -> None:
            # Objects are collected in whatever thread; tokens are touched in the loop's only.
            if threading.get_ident() != thread or asyncio._get_running_loop() is None:  # noqa: SLF001 - the public one raises
                start_soon(release)
            elif self._drop_reference(account):
                forget(account.name)
                start_soon(account.source.aclose)

        finalizer = weakref.finalize(owner, collected)
        finalizer.atexit = False
        return finalizer

    async def aclose(self) -> None:
        """Close every source; one that cannot be closed does not keep the others open."""
        accounts, self._accounts = self._accounts, {}
        self._keys.clear()
        async with AsyncExitStack() as stack:
            for account in accounts.values():
                stack.push_async_callback(account.source.aclose)
