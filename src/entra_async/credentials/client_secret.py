"""Sign in as an application, with its secret."""

from __future__ import annotations

from dataclasses import dataclass, field

from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.application import AppTokenSource
from entra_async.rules.sign_in.identifiers import check_app_tenant_id, check_client_id, check_secret
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource

__all__ = ("ClientSecret",)


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """
    An application that authenticates with a secret.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, or one of its domains.
        client_secret: The secret's value (not its id).

    Raises:
        ConfigurationError: If a value is missing or malformed. Nothing is sent.

    Example:
        >>> ClientSecret(
        ...     client_id="11111111-1111-1111-1111-111111111111", tenant_id="contoso.com", client_secret="s3cret"
        ... )
        ClientSecret(client_id='11111111-1111-1111-1111-111111111111', tenant_id='contoso.com')

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    """

    client_id: str
    tenant_id: str
    client_secret: str = field(repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_app_tenant_id(self.tenant_id)
        check_secret(self.client_secret, field="client_secret")

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return AppTokenSource(context, self.client_id, self.tenant_id, lambda _: self.client_secret)
