"""
The grant for an app that signs in as itself.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
    RFC 6749, section 4.4: https://www.rfc-editor.org/rfc/rfc6749#section-4.4
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.scopes import resource_of_default_scope
from entra_async.testing.entra.tenant import ALIASES, MSA_TENANT_ID

if TYPE_CHECKING:
    from entra_async.testing.entra.grants.client_authentication import ClientAuthenticator
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer, IssuedToken

__all__ = ("grant_client_credentials",)


async def grant_client_credentials(
    request: TokenEndpointRequest, tokens: AccessTokenIssuer, authenticate: ClientAuthenticator
) -> dict[str, Any]:
    """
    Return the response to a ``client_credentials`` request: an access token, never a refresh or ID token.

    Raises:
        AadstsError: If the grant fails.
    """
    segment = request.tenant.lower()
    if segment in {"consumers", MSA_TENANT_ID}:
        raise AadstsError(9001023)
    if segment in ALIASES:
        raise AadstsError(50059)
    if request.origin:
        raise AadstsError(9002326, origin=request.origin)
    if request.version == 2 and "resource" in request.form:
        raise AadstsError(901002)
    request.check_grant_parameters()
    name = (
        resource_of_default_scope(request.required("scope")) if request.version == 2 else request.required("resource")
    )
    app, client_authentication = await authenticate(request)
    if client_authentication == "0":
        raise AadstsError(7000218)  # a public client has nothing to sign in as itself with
    resource = tokens.tenant.find_resource(name)
    if resource is None:
        raise AadstsError(500011, resource=name, tenant=request.tenant)
    token = tokens.issue_app_token(
        app,
        client_authentication=client_authentication,
        audience=name,
        roles=app.roles & resource.roles,
        requested_claims=request.requested_claims,
    )
    if request.version == 1:
        return _response_v1(token)
    return _response_v2(token, refresh_in=tokens.lifetimes.refresh_in_s)


def _response_v1(token: IssuedToken) -> dict[str, Any]:
    # The older endpoint writes its numbers as texts.
    return {
        "token_type": "Bearer",
        "expires_in": str(token.expires_in),
        "ext_expires_in": str(token.expires_in),
        "expires_on": str(token.expires_on),
        "not_before": str(token.not_before),
        "resource": token.audience,
        "access_token": token.access_token,
    }


def _response_v2(token: IssuedToken, *, refresh_in: int | None) -> dict[str, Any]:
    response: dict[str, Any] = {
        "token_type": "Bearer",
        "expires_in": token.expires_in,
        "ext_expires_in": token.expires_in,
        "access_token": token.access_token,
    }
    if refresh_in is not None:
        response["refresh_in"] = refresh_in
    return response
