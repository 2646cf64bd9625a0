"""
The password grant (resource owner password credentials).

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth-ropc
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.user_tokens import check_tenant, only_resource
from entra_async.testing.entra.tenant import MSA_TENANT_ID

if TYPE_CHECKING:
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.grants.user_tokens import UserTokens

__all__ = ("password_grant",)


async def password_grant(request: TokenEndpointRequest, tokens: UserTokens) -> dict[str, Any]:
    """
    Return the response to a ``password`` request.

    Raises:
        AadstsError: If the grant fails.
    """
    if request.tenant.lower() in {"common", "consumers", MSA_TENANT_ID}:
        raise AadstsError(9001023)
    tokens.check_origin(request)
    request.check_grant_parameters("username", "password")
    name, password = request.required("username"), request.required("password")
    app, client_authentication = await tokens.authenticate(request)
    check_tenant(request.tenant, app)
    oidc, requested = tokens.read_scopes(request, app)
    resource = only_resource(request, requested)
    user = tokens.accounts.find(name)
    if password != password.strip():
        raise AadstsError(50126)  # passwords that begin or end with a blank don't work here, even the right ones
    user.check_password(password, now=request.now)
    user.check_policies(mfa=False, error="invalid_grant")
    signed_in = tokens.sign_in(request, user, app, oidc, resource, mfa=False)
    return tokens.token_response(request, signed_in, resource, client_authentication=client_authentication)
