"""The token source of an application that signs in as itself (OAuth 2.0 client credentials, RFC 6749, section 4.4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.token_response import token_from
from entra_async.rules.sign_in.identifiers import check_app_tenant_id
from entra_async.tokens.token import Token
from entra_async.transport.msal import Application

__all__ = ("AppTokenSource",)


@dataclass(frozen=True, slots=True)
class AppTokenSource:
    """
    Requests tokens of an application.

    Attributes:
        context: What the Session provides.
        client_id: The application.
        tenant_id: Its tenant, unless a request names another.
        credential: Returns the secret, or the assertion for a token endpoint. Called in a worker thread, each time.
    """

    context: SignInContext
    client_id: str
    tenant_id: str
    credential: Callable[[str], str | dict[str, Any]] = field(repr=False)

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token of the application itself; see :class:`entra_async.tokens.source.TokenSource`."""
        tenant = check_app_tenant_id(tenant_id or self.tenant_id)
        authority = f"{self.context.authority}/{tenant}"
        application = Application(
            authority=authority,
            client_id=self.client_id,
            credential=lambda: self.credential(application.token_endpoint),
            enable_cae=enable_cae,
        )
        requested_at = self.context.clock.now()
        result = await self.context.msal.run(
            application, lambda app: app.acquire_token_for_client(list(scopes), claims_challenge=claims)
        )
        return token_from(result, requested_at=requested_at)

    async def aclose(self) -> None:
        """Do nothing: it holds no resources."""
