"""Sign in on behalf of the user who called a web backend (the on-behalf-of flow)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from entra_async.credentials.certificate import Certificate
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.certificate_assertion import CertificateAssertions
from entra_async.credentials.sources.user import Grant, UserTokenRequest, UserTokenSource
from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.identifiers import check_app_tenant_id, check_client_id, check_secret
from entra_async.rules.sign_in.user import check_scopes
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource

__all__ = ("OnBehalfOf",)


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class OnBehalfOf:
    """
    The user whose access token a web backend was called with: it is exchanged for one of another service.

    Make one for each caller's token; each has tokens of its own, and none is ever handed to another caller. Disconnect
    when the request is answered, or give the connections names of their own.

    If conditional access requires user interaction, that is an :exc:`~entra_async.errors.InteractionRequiredError`.
    Respond to the caller with 401 and its ``claims``, Base64-encoded, in ``WWW-Authenticate: Bearer
    error="insufficient_claims", claims="…"``, so that it can sign the user in again.

    Attributes:
        client_id: GUID of the backend's application, the audience of the caller's token.
        tenant_id: GUID of the user's tenant, or one of its domains.
        user_assertion: The access token that the caller sent, without ``Bearer``.
        client_secret: The backend's secret. Give this or *certificate*.
        certificate: The backend's certificate: a :class:`Certificate` of the same application.
        scopes: Delegated permissions to request; everything granted if empty.

    Raises:
        ConfigurationError: If a value is missing or malformed, or the mix is wrong. Nothing is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-on-behalf-of-flow
    """

    client_id: str
    tenant_id: str
    user_assertion: str = field(repr=False)
    client_secret: str | None = field(default=None, repr=False)
    certificate: Certificate | None = None
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_app_tenant_id(self.tenant_id)
        check_secret(self.user_assertion, field="user_assertion")
        # A bare JWT, and never the whole header: https://www.rfc-editor.org/rfc/rfc7523#section-2.1
        if any(character.isspace() for character in self.user_assertion):
            message = "user_assertion holds a blank, so it is no token."
            raise ConfigurationError(message, field="user_assertion", hint="Give what follows 'Bearer ' in the header.")
        if (self.client_secret is None) == (self.certificate is None):
            what = "neither" if self.client_secret is None else "both"
            message = f"The backend authenticates with client_secret or certificate; given: {what}."
            raise ConfigurationError(message, field="client_secret", hint="Give one of them.")
        if self.certificate is None:
            check_secret(self.client_secret, field="client_secret")
        elif not isinstance(self.certificate, Certificate) or self.certificate.client_id != self.client_id:
            message = "certificate is not a Certificate(…) of the same client_id."
            raise ConfigurationError(
                message, field="certificate", hint="Give Certificate(client_id=…, tenant_id=…, …)."
            )
        object.__setattr__(self, "scopes", check_scopes(self.scopes))

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        assertions = None if self.certificate is None else CertificateAssertions(self.certificate, context.msal.time)

        async def credential(token_endpoint: str) -> str | dict[str, Any]:
            return self.client_secret or "" if assertions is None else await assertions.make(token_endpoint)

        async def sign_in(request: UserTokenRequest) -> Grant:
            requested_at = context.clock.now()
            result = await context.msal.run(
                request.application,
                lambda app: app.acquire_token_on_behalf_of(
                    self.user_assertion, list(request.scopes), claims_challenge=request.claims
                ),
            )
            return Grant(result, requested_at)

        return UserTokenSource(
            context,
            client_id=self.client_id,
            tenant_id=self.tenant_id,
            interactive=False,
            sign_in=sign_in,
            credential=credential,
            is_public=False,
        )
