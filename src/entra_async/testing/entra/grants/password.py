"""
The grant for an app that was told a person's password.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth-ropc
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entra_async.testing.entra.errors import EntraRefusal
from entra_async.testing.entra.grants.user_tokens import check_tenant, only_resource
from entra_async.testing.entra.tenant import MSA_TENANT_ID
from entra_async.testing.entra.tokens.refresh_tokens import SignedIn

if TYPE_CHECKING:
    from entra_async.testing.entra.grants.token_request import TokenRequest
    from entra_async.testing.entra.grants.user_tokens import UserTokens

__all__ = ("password_grant",)


async def password_grant(request: TokenRequest, tokens: UserTokens) -> dict[str, Any]:
    """
    Return the answer to a ``password`` request.

    Raises:
        EntraRefusal: If the request is refused.
    """
    if request.tenant.lower() in {"common", "consumers", MSA_TENANT_ID}:
        raise EntraRefusal(9001023)
    tokens.check_origin(request)
    request.refuse_foreign("username", "password")
    name, password = request.required("username"), request.required("password")
    app, client_authentication = await tokens.authenticate(request)
    check_tenant(request.tenant, app)
    oidc, asked = tokens.read_scopes(request, app)
    resource = only_resource(request, asked)
    user = tokens.accounts.find(name)
    if password != password.strip():
        raise EntraRefusal(50126)  # passwords that begin or end with a blank don't work here, even the right ones
    user.check_password(password, now=request.now)
    user.check_policies(mfa=False, error="invalid_grant")
    signed_in = SignedIn(
        user=user,
        app=app,
        oidc=oidc,
        audience=resource.audience,
        scope=request.form.get("scope") if request.version == 2 else None,
        mfa=False,
        at=request.now,
        stamp=user.stamp,
    )
    return tokens.answer(request, signed_in, resource, client_authentication=client_authentication)
