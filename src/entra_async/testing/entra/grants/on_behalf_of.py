"""
The grant for a web API that passes its caller's identity on to another API.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-on-behalf-of-flow
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import jwt

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.user_tokens import check_tenant, only_resource
from entra_async.testing.entra.tenant import ALIASES

if TYPE_CHECKING:
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.grants.user_tokens import UserTokens

__all__ = ("on_behalf_of_grant",)


async def on_behalf_of_grant(request: TokenEndpointRequest, tokens: UserTokens) -> dict[str, Any]:
    """
    Return the response to a ``jwt-bearer`` request.

    Raises:
        AadstsError: If the grant fails.
    """
    if request.tenant.lower() in ALIASES:
        raise AadstsError(50059)  # the caller's token is of one tenant
    tokens.check_origin(request)
    request.check_grant_parameters("assertion", "requested_token_use")
    assertion = request.required("assertion")
    if request.required("requested_token_use") != "on_behalf_of":
        raise AadstsError(9002313, reason="The 'requested_token_use' must be 'on_behalf_of'.")
    app, client_authentication = await tokens.authenticate(request)
    check_tenant(request.tenant, app)
    if client_authentication == "0":
        raise AadstsError(7000218)  # the caller's token went to this API, which has to prove that it is the one
    oidc, requested = tokens.read_scopes(request, app)
    resource = only_resource(request, requested)
    claims = _verify(assertion, app, tokens, now=request.now)
    user = tokens.accounts.get(claims["oid"])
    user.check_enabled()
    mfa = "mfa" in claims["amr"]
    user.check_policies(mfa=mfa, error="interaction_required")
    signed_in = tokens.sign_in(request, user, app, oidc, resource, mfa=mfa)
    response = tokens.token_response(request, signed_in, resource, client_authentication=client_authentication)
    # As Microsoft's page shows it.
    return {**response, "ext_expires_in": 0 if request.version == 2 else "0"}


def _verify(assertion: str, app: App, tokens: UserTokens, *, now: float) -> dict[str, Any]:
    try:
        claims = tokens.access.key.verify(assertion)
    except jwt.InvalidSignatureError as error:
        reason = "The provided signature value did not match the expected signature value."
        raise AadstsError(50013, reason=reason) from error
    except jwt.InvalidTokenError as error:
        raise AadstsError(50027, reason="The assertion is not a JWT of this service.") from error
    if claims.get("idtyp") not in {"app", "user"}:
        raise AadstsError(50013, reason="The assertion is not an access token.")
    if claims["aud"] not in {app.client_id, app.identifier_uri}:
        raise AadstsError(500131, audience=claims["aud"], client_id=app.client_id)
    if not claims["nbf"] <= now < claims["exp"]:
        raise AadstsError(500133)
    if claims["idtyp"] == "app":
        raise AadstsError(7000114, client_id=str(claims["appid"]))
    return claims
