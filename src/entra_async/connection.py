"""A signed-in service: its verbs, and its tokens."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any, Self, final

from entra_async.calls.access import Access
from entra_async.calls.batch.verbs import BatchVerbs
from entra_async.calls.context import CallContext
from entra_async.calls.prepare import BaseURL
from entra_async.calls.transfers.verbs import TransferVerbs
from entra_async.calls.verbs import ContextVerbs
from entra_async.config import Clock, RetryPolicy
from entra_async.credentials.registry import OpenProvider
from entra_async.pipeline.authorization import Authorization, BearerToken
from entra_async.pipeline.limiters import ConnectionLimiters, Limiters
from entra_async.pipeline.pipeline import Pipeline
from entra_async.pipeline.preauthenticated import PreauthenticatedRequests
from entra_async.rules.tokens.token_request import check_token_request
from entra_async.secrecy import wipe_locals
from entra_async.services import Service
from entra_async.telemetry.events import Listener
from entra_async.tokens.broker import Broker
from entra_async.tokens.identity import Identity, identity_of
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token
from entra_async.transport.http.pool import Pool

__all__ = ("Connection",)


@final
class Connection(BatchVerbs, TransferVerbs, ContextVerbs):
    """
    A service that is signed in to. Made by :meth:`entra_async.Session.connect`, closed with the Session.

    It is itself an ``AsyncTokenCredential``: any Azure SDK and msgraph-sdk take it as their credential, and share
    its tokens.

    Attributes:
        name: What ``service=`` takes to mean this connection.
        service: The service.
        account: Who is signed in.
        access: Its tokens; when nothing refers to it any more, the Session closes the provider.
        finalizer: Releases the provider then; set by the Session.
    """

    def __init__(
        self,
        *,
        name: str,
        base_url: BaseURL,
        key: TokenKey,
        account: OpenProvider,
        broker: Broker,
        pool: Pool,
        clock: Clock,
        policy: RetryPolicy,
        listener: Listener | None = None,
        limiters: Limiters,
    ) -> None:
        self.name = name
        self.service: Service = base_url.service
        self.account = account
        self.finalizer: weakref.finalize[Any, Any] | None = None
        self.access = access = Access(name=name, key=key, account=account, broker=broker)
        self._key = key
        self._broker = broker
        self._within_s = policy.deadline_s
        self._authorization: Authorization = (
            account.source
            if isinstance(account.source, Authorization)
            else BearerToken(broker, key, account.source, account.policy)
        )
        own_limiters = ConnectionLimiters(
            limiters, service=self.service.name, app=access.app, max_pause_s=policy.max_retry_after_s
        )
        super().__init__(
            CallContext(
                name=name,
                service=self.service,
                base_url=base_url,
                access=access,
                pipeline=Pipeline(
                    transport=pool,
                    authorization=self._authorization,
                    clock=clock,
                    policy=policy,
                    limiters=own_limiters,
                ),
                preauthenticated=PreauthenticatedRequests(pool=pool, clock=clock, policy=policy),
                clock=clock,
                start=pool.start,
                listener=listener,
            )
        )

    def __repr__(self) -> str:
        return f"<Connection {self.name!r} to {self.service.url} as {self.account.name}>"

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes of its tokens."""
        return self._key.scopes

    @property
    def token(self) -> Token | None:
        """The cached token, which may have expired; ``None`` after the Session was closed. None is requested."""
        return self._broker.peek(self._key)

    async def get_token(
        self,
        *scopes: str,
        claims: str | None = None,
        tenant_id: str | None = None,
        enable_cae: bool = False,
        **_: Any,
    ) -> Token:
        """
        Return a token that is valid for some minutes more: from the cache, or by one request for all who wait for it.

        Args:
            scopes: Of one resource; by default the service's own.
            claims: The claims of a service's claims challenge, as a JSON text.
            tenant_id: Another tenant than the one signed in to.
            enable_cae: Whether the caller can handle continuous access evaluation: for other scopes than the service's
                own, whose token always is of that kind, since one token serves every caller of the service.

        Raises:
            AuthenticationError: If none can be acquired.
            ConfigurationError: If a scope or the claims cannot be requested.
            ClosedError: If the Session is closed, or the connection is disconnected.

        Sources:
            ``azure.core.credentials_async.AsyncTokenCredential``
        """
        key = self._key
        if (scopes and scopes != key.scopes) or claims or tenant_id:
            check_token_request(scopes, claims)
            if tenant_id and self.account.is_home_tenant(tenant_id):
                tenant_id = None  # the same token, whoever names the tenant
            key = key._replace(
                scopes=scopes or key.scopes,
                claims=claims or None,
                tenant_id=tenant_id or None,
                enable_cae=enable_cae or not scopes or scopes == key.scopes,
            )
        # Saves the commonest case a coroutine.
        token = None if self.access.is_closed else self._broker.find(key)
        return token or await self.access.get_token(key)

    async def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> Token:
        """
        Return a token, as :meth:`get_token` does, for what speaks azure-core's newer protocol.

        Args:
            scopes: Of one resource; by default the service's own.
            options: ``claims``, ``tenant_id`` and ``enable_cae``.

        Sources:
            ``azure.core.credentials_async.AsyncSupportsTokenInfo``
        """
        return await self.get_token(*scopes, **(options or {}))

    async def sign_in(self) -> None:
        """Acquire a token, or the headers of one's own; the Session calls this."""
        if isinstance(self._authorization, BearerToken):
            await self.get_token()  # a user has the provider's time, not a request's
        else:
            try:
                await self._authorization.attach({}, within_s=self._within_s)
            except BaseException as error:
                wipe_locals(error)
                raise

    async def whoami(self) -> Identity:
        """
        Return who is signed in, from the claims of the token. The token itself is not in it.

        Raises:
            AuthenticationError: If no token can be acquired.
        """
        return identity_of(await self.get_token(), service=self.name, provider=self.account.provider)

    def retire(self) -> None:
        """Give no more tokens and begin no more calls; the Session calls this."""
        self.access.is_closed = True

    async def close(self) -> None:
        """Do nothing: a connection is closed with its Session. Azure's SDKs expect the method."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
