"""Sign in as an application, with an assertion of another issuer (workload identity federation)."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from entra_async.credentials.external import ExternalCredential
from entra_async.credentials.federation.assertion_file import read_assertion_file
from entra_async.credentials.federation.providers import find_federation_provider, request_assertion
from entra_async.credentials.federation.request import FederationRequest
from entra_async.credentials.interactive.callback import call
from entra_async.credentials.provider import Provider, SignInContext
from entra_async.credentials.sources.application import AppTokenSource
from entra_async.errors import AuthenticationError, ConfigurationError
from entra_async.rules.sign_in.identifiers import check_app_tenant_id, check_client_id, check_secret
from entra_async.rules.tokens.scopes import default_scope
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

__all__ = ("Federated",)

_WITHIN_S: Final = 60.0
_AUTO: Final = "auto"


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class Federated:
    """
    An application that authenticates with an assertion of another issuer, which its registration trusts.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, or one of its domains.
        assertion: Where the assertion comes from, anew for every token request:

            - a callable without parameters, plain (it runs in a thread) or a coroutine function;
            - the path of a file, as :class:`pathlib.Path`;
            - a provider such as ``ManagedIdentity(…)``, or a credential of azure-identity: its token is the assertion;
            - the assertion itself, as text: good until it expires, which is a matter of minutes.
        provider: Without *assertion*: the environment that issues it (``github_actions``, ``azure_pipelines``,
            ``workload_identity``, ``managed_identity``, or one that was registered); ``"auto"`` detects it.

    Raises:
        ConfigurationError: If a value is missing or malformed, or both *assertion* and *provider* are given.

    Sources:
        https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """

    client_id: str
    tenant_id: str
    assertion: Any = field(default=None, repr=False)
    provider: str = _AUTO

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_app_tenant_id(self.tenant_id)
        if self.assertion is None:
            if not isinstance(self.provider, str) or self.provider.lower() != _AUTO:
                find_federation_provider(self.provider)
            return
        if self.provider != _AUTO:
            message = "Federated got assertion and provider."
            raise ConfigurationError(message, field="provider", hint="Give one: provider says where to get it.")
        if isinstance(self.assertion, str):
            check_secret(self.assertion, field="assertion")
        elif isinstance(self.assertion, type) or not (
            isinstance(self.assertion, os.PathLike | Provider)
            or callable(self.assertion)
            or hasattr(self.assertion, "get_token")
        ):
            message = f"assertion is a {type(self.assertion).__name__}."
            hint = "Give the assertion as text, a callable that returns it, a Path, or a provider."
            raise ConfigurationError(message, field="assertion", hint=hint)

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return _FederatedSource(self, context)


class _FederatedSource:
    """The token source of a federated application: it gets an assertion and signs in with it."""

    def __init__(self, provider: Federated, context: SignInContext) -> None:
        self._provider = provider
        self._context = context
        self._audience = context.cloud.token_exchange_audience
        self._issuer: TokenSource | None = None
        if hasattr(provider.assertion, "get_token"):
            self._issuer = ExternalCredential(credential=provider.assertion).open(context)
        elif isinstance(provider.assertion, Provider) and not isinstance(provider.assertion, os.PathLike):
            self._issuer = provider.assertion.open(context)

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token; see :class:`entra_async.tokens.source.TokenSource`."""
        tenant = check_app_tenant_id(tenant_id or self._provider.tenant_id)
        assertion = self._check(await self._request(tenant))
        source = AppTokenSource(
            self._context, self._provider.client_id, tenant, lambda _: {"client_assertion": lambda: assertion}
        )
        return await source.get_token(*scopes, claims=claims, enable_cae=enable_cae)

    async def _request(self, tenant_id: str) -> object:
        source = self._provider.assertion
        if source is None:
            request = FederationRequest(
                audience=self._audience,
                client_id=self._provider.client_id,
                tenant_id=tenant_id,
                detecting=self._provider.provider.lower() == _AUTO,
                context=self._context,
            )
            return await request_assertion(self._provider.provider, request)
        if self._issuer is not None:
            return (await self._issuer.get_token(default_scope(self._audience))).token
        if isinstance(source, str):
            return source
        if isinstance(source, os.PathLike):
            return await read_assertion_file(source)
        return await call(source, what="The callable of assertion", within_s=_WITHIN_S)

    def _check(self, assertion: object) -> str:
        hint = (
            f"It must be a JWT for {self._audience}, made anew for every token: give a callable, a file or a provider."
        )
        if not isinstance(assertion, str) or assertion.strip().count(".") != 2:
            kind = "a text that is no JWT" if isinstance(assertion, str) else f"a {type(assertion).__name__}"
            message = f"The assertion is {kind}."
            raise AuthenticationError(message, hint=hint)
        ends = Token(assertion.strip(), 0).claims.get("exp")
        if isinstance(ends, int | float) and ends <= self._context.clock.now():
            message = f"The assertion expired at {datetime.fromtimestamp(ends, UTC)}."
            raise AuthenticationError(message, hint=hint)
        return assertion.strip()

    async def aclose(self) -> None:
        """Close the assertions' token source, if there is one."""
        if self._issuer is not None:
            await self._issuer.aclose()
