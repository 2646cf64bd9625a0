"""One signed-in service and what can be done with it."""

from __future__ import annotations

import weakref
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import aclosing
from typing import Any, Self, TypedDict, final

from entra_async.config import Clock, RetryPolicy
from entra_async.credentials.accounts import Account
from entra_async.errors import ClosedError, ConfigurationError
from entra_async.pipeline.authorization import Authorization, BearerToken
from entra_async.pipeline.caller import Caller
from entra_async.pipeline.response import Response
from entra_async.requests.pages import iter_pages, next_url
from entra_async.requests.prepare import Prepared, Target, check_call, prepare
from entra_async.rules.decoding import Page
from entra_async.rules.permissions import check_permissions
from entra_async.rules.token_request import check_token_request
from entra_async.services import Service
from entra_async.tokens.broker import Broker
from entra_async.tokens.identity import Identity, identity_of
from entra_async.tokens.key import TokenKey
from entra_async.tokens.token import Token
from entra_async.transport.pool import Pool

__all__ = ("Connection", "InvokeOptions", "StreamOptions")


class StreamOptions(TypedDict, total=False):
    """What :meth:`Connection.stream` takes beside the path."""

    query: Mapping[str, object] | None
    headers: Mapping[str, str] | None
    parameters: Mapping[str, str] | None
    required_scopes: Iterable[str] | None
    type: Any
    timeout: float | None


class InvokeOptions(StreamOptions, total=False):
    """What :meth:`Connection.invoke` takes beside the path."""

    method: str
    body: Any
    content_type: str | None
    paging: bool
    raw: bool
    idempotent: bool | None


@final
class Connection:
    """
    A service that is signed in to. Made by :meth:`entra_async.Session.connect`, closed with the Session.

    It is itself an ``AsyncTokenCredential``: any Azure SDK and msgraph-sdk take it as their credential, and share
    its tokens.

    Attributes:
        name: What ``service=`` takes to mean this connection.
        service: The service.
        account: Who is signed in.
        holding: Lets the account go when nobody holds the connection any more; the Session's.
    """

    def __init__(
        self,
        *,
        name: str,
        target: Target,
        key: TokenKey,
        account: Account,
        broker: Broker,
        pool: Pool,
        clock: Clock,
        policy: RetryPolicy,
    ) -> None:
        self.name = name
        self.service: Service = target.service
        self.account = account
        self.holding: weakref.finalize[Any, Any] | None = None
        self._target = target
        self._key = key
        self._broker = broker
        self._pool = pool
        self._disconnected = False
        self._within_s = policy.deadline_s
        self._authorization: Authorization = (
            account.source
            if isinstance(account.source, Authorization)
            else BearerToken(broker, key, account.source, account.terms)
        )
        self._caller = Caller(pool=pool, authorization=self._authorization, clock=clock, policy=policy)

    def __repr__(self) -> str:
        return f"<Connection {self.name!r} to {self.service.url} as {self.account.name}>"

    @property
    def scopes(self) -> tuple[str, ...]:
        """What its tokens are asked for."""
        return self._key.scopes

    @property
    def token(self) -> Token | None:
        """The token held now, which may have expired; ``None`` after the Session was closed. Nothing is asked for."""
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
        Return a token that is good for some minutes: from memory, or asked for once however many callers there are.

        Args:
            scopes: Of one resource; by default the service's own.
            claims: What a service demanded beyond that, as a JSON text.
            tenant_id: Another tenant than the one signed in to.
            enable_cae: Whether the caller can handle continuous access evaluation: for other scopes than the service's
                own, whose token always is of that kind, since one token serves everybody who calls the service.

        Raises:
            AuthenticationError: If there is none to be had.
            ConfigurationError: If a scope or the claims cannot be asked for.
            ClosedError: If the Session is closed, or the connection is disconnected.

        Sources:
            ``azure.core.credentials_async.AsyncTokenCredential``
        """
        if self._disconnected:
            message = f"{self.name!r} is disconnected."
            raise ClosedError(message, hint="Connect again, and use the new connection.")
        key = self._key
        if (scopes and scopes != key.scopes) or claims or tenant_id:
            check_token_request(scopes, claims)
            if tenant_id and self.account.is_at_home(tenant_id):
                tenant_id = None  # the same token, whoever names the tenant
            key = key._replace(
                scopes=scopes or key.scopes,
                claims=claims or None,
                tenant_id=tenant_id or None,
                enable_cae=enable_cae or not scopes or scopes == key.scopes,
            )
        token = self._broker.find(key)  # saves the commonest case a coroutine
        return token or await self._broker.get(key, self.account.source, self.account.terms)

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
        """Make sure that there is something to call with; the Session calls this."""
        if isinstance(self._authorization, BearerToken):
            await self.get_token()  # a person has the provider's time, not a request's
        else:
            await self._authorization.attach({}, within_s=self._within_s)

    async def whoami(self) -> Identity:
        """
        Return who is signed in, from the claims of the token. The token itself is not in it.

        Raises:
            AuthenticationError: If there is no token to be had.
        """
        return identity_of(await self.get_token(), service=self.name, provider=self.account.provider)

    def retire(self) -> None:
        """Give no more tokens and make no more calls; the Session calls this."""
        self._disconnected = True

    async def close(self) -> None:
        """Do nothing: a connection is closed with its Session. Azure's SDKs expect the method."""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def invoke(
        self,
        path: str,
        *,
        method: str = "GET",
        query: Mapping[str, object] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
        parameters: Mapping[str, str] | None = None,
        paging: bool = True,
        raw: bool = False,
        required_scopes: Iterable[str] | None = None,
        type: Any = None,  # noqa: A002 - the name msgspec's users know
        timeout: float | None = None,  # noqa: ASYNC109 - covers the waits between attempts, too
        idempotent: bool | None = None,
    ) -> Any:
        """
        Call the service once, and follow a collection to its end.

        Args:
            path: Below the service's root, such as ``"users/ada@contoso.com"``; may hold a query. A link that the
                service made (absolute, below the same root) is taken as it is.
            method: HTTP method.
            query: Name to text, number, boolean, date, or list; escaped here, so write literals as they are.
            body: Sent as JSON; ``str`` and ``bytes`` are sent as they are and need *content_type*.
            headers: Sent with every page, over the service's own.
            content_type: What the body is.
            parameters: Values for the parameters of the service's URL, such as ``{"VaultName": "contoso"}``.
            paging: ``False`` for the first page only.
            raw: ``True`` for the :class:`Response` instead of its value.
            required_scopes: Permissions that the call needs: if the token says that it lacks one, nothing is sent.
            type: What the value, or each item, is decoded into: a msgspec Struct, say.
            timeout: Seconds each request may take in all, waits and repetitions included; 300 by default.
            idempotent: ``True`` if a POST or PATCH may be sent again although it may have acted.

        Returns:
            The decoded value: a dict, or a list of every item of a collection; ``None`` if there is no body.

        Raises:
            ConfigurationError: If an argument cannot be sent. Nothing was.
            APIStatusError: If the service answers with an error; there is a class for each usual status.
            TransportError: If no complete answer arrives; ``RequestTimeoutError`` if time ran out.
            UnsafeLinkError: If a link leads to another host. Nothing was sent there.
            PagingError: If the pages go round in circles.
            DecodeError: If the answer is not the JSON, or not the *type*, that was asked for.
            AuthenticationError: If there is no token; ``ConsentRequiredError`` if it lacks one of *required_scopes*.
            ClosedError: If the Session is closed, or open in another event loop.
        """
        check_call(type, timeout)
        prepared = prepare(
            self._target,
            path,
            method=method,
            query=query,
            headers=headers,
            body=body,
            content_type=content_type,
            parameters=parameters,
        )
        await self._check_permissions(required_scopes)
        response = await self._caller.call(
            prepared.method,
            prepared.url,
            headers=prepared.headers,
            body=prepared.body,
            timeout_s=timeout,
            idempotent=idempotent,
        )
        if raw or self.service.raw_only:
            return response
        value = response.read(type)
        if not isinstance(value, Page):
            return value
        items = value.items
        seen: set[int] = set()
        following = next_url(value, source=prepared.url, seen=seen) if paging else None
        if following is not None:
            async with aclosing(self._pages(prepared, following, type, timeout, seen)) as pages:
                async for page in pages:
                    items.extend(page.items)
        return items

    async def _check_permissions(self, required: Iterable[str] | None) -> None:
        if self._disconnected or required is not None:
            token = await self.get_token()
            check_permissions(required, token.scopes, readable=bool(token.claims), service=self.name)

    def stream(
        self,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        headers: Mapping[str, str] | None = None,
        parameters: Mapping[str, str] | None = None,
        required_scopes: Iterable[str] | None = None,
        type: Any = None,  # noqa: A002 - the name msgspec's users know
        timeout: float | None = None,
    ) -> AsyncGenerator[Any]:
        """
        Give every item of a collection, each page once and in order: ``async for user in graph.stream("users")``.

        The next page is fetched while this one is used, and never more than that: memory stays flat over millions of
        items. A loop that is left early leaves no request behind.

        Args:
            path: See :meth:`invoke`.
            query: See :meth:`invoke`.
            headers: Sent with every page.
            parameters: See :meth:`invoke`.
            required_scopes: See :meth:`invoke`.
            type: What each item is decoded into.
            timeout: Seconds each page may take in all; 300 by default.

        Raises:
            PagingError: If the answer is no collection, or the pages go round in circles.
            EntraError: Whatever :meth:`invoke` raises.
        """
        check_call(type, timeout)
        prepared = prepare(self._target, path, query=query, headers=headers, parameters=parameters)
        if self.service.raw_only:
            message = f"The answers of {self.service.name!r} are not decoded, so there are no items to stream."
            raise ConfigurationError(message, field="service", hint="Use invoke() and read the Response.")
        return self._items(prepared, type, timeout, required_scopes)

    async def _items(
        self, prepared: Prepared, kind: Any, timeout_s: float | None, required_scopes: Iterable[str] | None
    ) -> AsyncGenerator[Any]:
        await self._check_permissions(required_scopes)
        async with aclosing(self._pages(prepared, prepared.url, kind, timeout_s)) as pages:
            async for page in pages:
                for item in page.items:
                    yield item

    def _pages(
        self, prepared: Prepared, url: str, kind: Any, timeout_s: float | None, seen: set[int] | None = None
    ) -> AsyncGenerator[Page]:
        headers = {name: value for name, value in prepared.headers.items() if name.lower() != "content-type"}

        async def fetch(link: str) -> Response:
            return await self._caller.call("GET", link, headers=headers, timeout_s=timeout_s)

        return iter_pages(fetch, url, kind, start=self._pool.start, seen=seen)
