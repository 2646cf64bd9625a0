"""The Session: one pool, one broker, and the connections that share them."""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from ssl import SSLContext
from types import MappingProxyType
from typing import Any, Final, Self, Unpack, final, overload

import anyio

from entra_async.calls.background_tasks import StartTask
from entra_async.calls.base_urls import choose_base_urls
from entra_async.calls.batch.verbs import BatchVerbs
from entra_async.calls.context import CallContext
from entra_async.calls.prepare import BaseURL
from entra_async.calls.transfers.verbs import TransferVerbs
from entra_async.clouds import Cloud, find_cloud
from entra_async.config import Clock, Limits, RetryPolicy, SystemClock, Timeouts, check_kinds, check_proxy
from entra_async.connection import Connection
from entra_async.credentials.connect.keywords import ConnectOptions
from entra_async.credentials.connect.parameter_sets import choose_provider
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.refresh_tokens import RefreshTokens
from entra_async.credentials.registry import OpenProvider, ProviderRegistry
from entra_async.errors import ClosedError, ConfigurationError
from entra_async.pipeline.limiter import LimiterStats
from entra_async.pipeline.limiters import Limiters
from entra_async.rules.sign_in.identifiers import check_authority
from entra_async.rules.tokens.scopes import qualify_scopes
from entra_async.secrecy import wipe_locals
from entra_async.services import Services, not_connected
from entra_async.telemetry.events import Listener, combine
from entra_async.tokens.broker import Broker
from entra_async.tokens.identity import Identity
from entra_async.tokens.key import TokenKey
from entra_async.tokens.shared import SharedTokens
from entra_async.tokens.stats import TokenStats
from entra_async.tokens.store import TokenStore
from entra_async.tokens.token import Token
from entra_async.transport.http.pool import Pool
from entra_async.transport.msal import MsalEngine

__all__ = ("Session",)

_DEFAULT_SERVICE: Final = "Graph"


@final
class Session(BatchVerbs, TransferVerbs):
    """
    Signs in to Microsoft Entra ID and calls its services, all on one pool of connections.

    Nothing is opened before the first call, and everything it opened is closed with it. It belongs to one event loop at
    a time: when that has ended, its connections are closed, and in the next loop it goes on with the tokens it has.
    A forked process gets connections of its own.

    Args:
        cloud: ``"global"``, ``"usgov"``, ``"usgovdod"``, ``"china"``, or a :class:`Cloud` of one's own.
        authority: Another sign-in service than the cloud's, without a tenant, such as ``https://login.contoso.com``.
        proxy: URL of an HTTP proxy for every request, sign-ins included.
        ssl: The trusted authorities: an ``SSLContext``, or the path of a PEM file with those to trust and no others.
            By default the machine's own. TLS cannot be switched off.
        trust_env: Take the proxy from ``HTTPS_PROXY`` and ``NO_PROXY``, unless *proxy* is given.
        limits: How many connections, how long they are kept, and how much may be requested of each service.
        timeouts: How long each part of one attempt may take.
        retry: When a request is sent again.
        clock: Where time comes from; tests pass their own.
        listener: Called with each :data:`entra_async.telemetry.Event`: an attempt of a request, a token request,
            a token that was rejected, a use of the store, a limiter that was paused. Several may be given.
        store: Where tokens outlive the Session and are shared with other processes, such as ``SQLiteStore(…)``.
            By default they are kept in memory only. The Session closes it.

    Raises:
        ConfigurationError: If a value cannot be used.

    Example:
        ::

            async with Session() as session:
                await session.connect(ClientSecret(client_id=..., tenant_id=..., client_secret=...))
                async for user in session.stream("users", query={"$select": "id,displayName"}):
                    print(user["displayName"])
    """

    def __init__(
        self,
        *,
        cloud: str | Cloud = "global",
        authority: str | None = None,
        proxy: str | None = None,
        ssl: SSLContext | str | os.PathLike[str] | None = None,
        trust_env: bool = False,
        limits: Limits | None = None,
        timeouts: Timeouts | None = None,
        retry: RetryPolicy | None = None,
        clock: Clock | None = None,
        listener: Listener | Iterable[Listener] | None = None,
        store: TokenStore | None = None,
    ) -> None:
        check_kinds(ssl=ssl, limits=limits, timeouts=timeouts, retry=retry)
        from entra_async import __version__

        self._cloud = find_cloud(cloud)
        if authority is not None:
            self._cloud = replace(self._cloud, authority=check_authority(authority))
        self._services = Services(self._cloud)
        self._clock: Clock = clock or SystemClock()
        self._retry = retry or RetryPolicy()
        limits, timeouts = limits or Limits(), timeouts or Timeouts()
        combined = self._listener = combine(listener)
        self._shared = None if store is None else SharedTokens(store, self._clock, listener=combined)
        pool = self._pool = Pool(
            limits=limits,
            timeouts=timeouts,
            trust=ssl,
            proxy=check_proxy(proxy),
            trust_env=trust_env,
            listener=combined,
            user_agent=f"entra-async/{__version__} Python/{platform.python_version()}",
        )
        self._limiters = Limiters(
            clock=self._clock, limits=limits, queue_s=timeouts.queue_s, listener=combined, check_loop=pool.check_loop
        )
        # Each token request takes a thread while its HTTP request takes a connection: one limit for both.
        self._msal = MsalEngine(pool=self._pool, clock=self._clock, policy=self._retry, threads=limits.connections)
        self._broker = Broker(clock=self._clock, limit=limits.tokens, listener=combined, shared=self._shared)
        self._providers = ProviderRegistry()
        self._refresh_tokens = RefreshTokens()
        self._connections: dict[str, Connection] = {}
        self._default = _DEFAULT_SERVICE

    def __repr__(self) -> str:
        return f"<Session in {self._cloud.name!r}, connected to {', '.join(self.connections) or 'nothing'}>"

    async def __aenter__(self) -> Self:
        self._pool.bind()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """
        Close everything: token requests, token sources, connections. More than once does no harm.

        A caller that is cancelled meanwhile is so after everything is closed.

        Raises:
            ClosedError: If the Session is open in another event loop that still runs.
        """
        if not self._pool.closed:
            self._pool.bind()
        closing = asyncio.create_task(self._close(), name="entra_async close")
        with anyio.CancelScope(shield=True):
            try:
                await asyncio.shield(closing)
            except asyncio.CancelledError:
                await asyncio.wait([closing])
                raise

    async def _close(self) -> None:
        self._connections.clear()
        async with AsyncExitStack() as stack:
            if self._shared is not None:
                stack.push_async_callback(self._shared.aclose)
            stack.push_async_callback(self._pool.aclose)
            stack.push_async_callback(self._providers.aclose)
            stack.push_async_callback(self._broker.aclose)

    @property
    def services(self) -> Services:
        """The services that can be signed in to: add one's own with ``register()``, change one with ``replace()``."""
        return self._services

    @property
    def _start(self) -> StartTask:
        return self._pool.start

    @property
    def token_stats(self) -> TokenStats:
        """Statistics of the token cache: hits, misses, requests, rejections."""
        return self._broker.stats

    @property
    def throttling(self) -> Mapping[str, LimiterStats]:
        """The state of each limiter that requests have passed: one for each limit of a service, app and tenant."""
        return self._limiters.stats

    @property
    def connections(self) -> Mapping[str, Connection]:
        """The connections, by name."""
        return MappingProxyType({connection.name: connection for connection in self._connections.values()})

    def connection(self, service: str | None = None) -> Connection:
        """
        Return a connection.

        Args:
            service: The name of the service, or the ``name=`` it was connected under, in any case; the default
                service if left out (``Graph``, unless ``make_default=True`` chose another).

        Raises:
            ConfigurationError: If it is not connected.
            ClosedError: If the Session is closed.
        """
        wanted = self._default if service is None else service
        connection = self._connections.get(wanted.lower()) if isinstance(wanted, str) else None
        if connection is None:
            if self._pool.closed:
                message = "The Session is closed."
                raise ClosedError(message, hint="Open a new one: 'async with Session() as session: …'.")
            raise not_connected(wanted, connections=self.connections, services=self._services)
        return connection

    @overload
    async def connect(
        self, provider: object | None = None, *, service: str | None = None, **options: Unpack[ConnectOptions]
    ) -> Connection: ...

    @overload
    async def connect(
        self,
        provider: object | None = None,
        *,
        service: list[str] | tuple[str, ...],
        **options: Unpack[ConnectOptions],
    ) -> list[Connection]: ...

    async def connect(
        self,
        provider: object | None = None,
        *,
        service: str | list[str] | tuple[str, ...] | None = None,
        service_url: str | None = None,
        resource: str | None = None,
        parameters: Mapping[str, str] | None = None,
        name: str | None = None,
        make_default: bool = False,
        cloud: str | Cloud | None = None,
        authority: str | None = None,
        **keywords: Any,
    ) -> Connection | list[Connection]:
        """
        Sign in at once, and register the connection.

        Args:
            provider: What to sign in with, such as ``ClientSecret(…)``; a credential of azure-identity or another
                library; or a callable that gives tokens. Or keywords that pick the parameter set as the PowerShell
                command does, such as ``client_id``, ``tenant_id`` and ``client_secret``: ``docs/connect.md`` lists
                them all.
            service: The service, or several; the default service if left out.
            service_url: Another root than the service's own, such as a regional one.
            resource: The Application ID URI of a resource that is no registered service. The connection is not
                registered; give *service_url* to call with it.
            parameters: Values for the parameters of the service's URL, such as ``{"VaultName": "contoso"}``.
            name: Register it under this name instead of the service's, to hold several of one service.
            make_default: Use it where ``service=`` is left out.
            cloud: Another cloud than the Session's.
            authority: Another sign-in service than the cloud's, without a tenant.
            keywords: See *provider*.

        Returns:
            The connection, or a list of them if *service* is a list. If one of several sign-ins fails, none is kept.

        Raises:
            ConfigurationError: If an argument is missing, malformed or does not fit the rest. Nothing was sent.
            AuthenticationError: If Entra ID refuses; it carries the AADSTS code, its cause and what to do.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        self._pool.bind()
        chosen = self._cloud if cloud is None else find_cloud(cloud)
        if resource is not None and make_default:
            message = "A resource is not registered, so it cannot be the default service."
            raise ConfigurationError(message, field="make_default", hint="Register a Service for it.")
        base_urls = choose_base_urls(
            self._services,
            cloud=chosen,
            default=self._default,
            service=service,
            service_url=service_url,
            resource=resource,
            parameters=parameters,
            name=name,
        )
        try:
            chosen_provider = choose_provider(provider, keywords)
        except ConfigurationError as error:
            wipe_locals(error)
            raise
        finally:
            keywords.clear()  # they hold secrets, which no later error is to show
        context = SignInContext(
            authority=chosen.authority if authority is None else check_authority(authority),
            cloud=chosen,
            pool=self._pool,
            msal=self._msal,
            clock=self._clock,
            connected=self._get_token_of,
            refresh_tokens=self._refresh_tokens,
            shared=self._shared,
        )
        # Only a user's provider has scopes; an application gets what was granted to it.
        wanted = getattr(chosen_provider, "scopes", None)
        made: list[Connection] = []
        try:
            for base_url in base_urls:
                account = self._providers.acquire(chosen_provider, context)
                made.append(self._make(name or base_url.service.name, base_url, account, wanted))
                await made[-1].sign_in()
        except BaseException:
            for connection in made:
                await self._release(connection)
            raise
        if resource is None:
            # A replaced connection goes on for those who have it; its provider is released with the last of them.
            self._connections.update({connection.name.lower(): connection for connection in made})
            if make_default:
                self._default = made[-1].name
        return made[0] if service is None or isinstance(service, str) else made

    def _find(self, service: str | None) -> CallContext:
        return self.connection(service).context

    async def whoami(self, service: str | None = None) -> Identity:
        """
        Return who is signed in, from the claims of the token; see :meth:`Connection.whoami`.

        Args:
            service: See :meth:`connection`.

        Raises:
            ConfigurationError: If it is not connected.
            AuthenticationError: If no token can be acquired.
        """
        return await self.connection(service).whoami()

    def _get_token_of(self, service: str) -> Callable[..., Awaitable[Token]] | None:
        found = (each for each in self._connections.values() if each.service.name.lower() == service.lower())
        return next((connection.get_token for connection in found), None)

    def _make(self, name: str, base_url: BaseURL, account: OpenProvider, wanted: Sequence[str] | None) -> Connection:
        service = base_url.service
        scopes: tuple[str, ...] = (service.scope,)
        if wanted is not None:
            scopes = qualify_scopes(wanted or service.default_scopes, audience=service.audience)
        # Its own calls handle the challenge of a token that was revoked early (continuous access evaluation).
        key = TokenKey(account.authority, None, account.name, scopes, enable_cae=True)
        connection = Connection(
            name=name,
            base_url=base_url,
            key=key,
            account=account,
            broker=self._broker,
            pool=self._pool,
            clock=self._clock,
            policy=self._retry,
            listener=self._listener,
            limiters=self._limiters,
        )
        connection.finalizer = self._providers.watch(
            connection.access, account, self._broker.forget, self._pool.start_soon
        )
        return connection

    async def _release(self, connection: Connection) -> None:
        if connection.finalizer is None or connection.finalizer.detach() is None:
            return
        name = connection.account.name
        if await self._providers.release(connection.account):
            self._broker.forget(name)
        elif all(
            other.account.name != name or other.scopes != connection.scopes for other in self._connections.values()
        ):
            self._broker.forget(name, connection.scopes)

    async def disconnect(self, service: str | None = None) -> None:
        """
        Forget a connection and its tokens, also in the store. Nothing is revoked: Entra ID cannot take tokens back.

        Args:
            service: See :meth:`connection`.

        Raises:
            ConfigurationError: If it is not connected.
        """
        connection = self.connection(service)
        del self._connections[connection.name.lower()]
        connection.retire()
        if self._default.lower() == connection.name.lower():
            self._default = _DEFAULT_SERVICE
        await self._broker.delete_stored(connection.account.name, connection.scopes)
        if all(other.account is not connection.account for other in self._connections.values()):
            await self._providers.sign_out(connection.account)
        await self._release(connection)
