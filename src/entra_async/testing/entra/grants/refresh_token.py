"""
The grant that redeems a refresh token.

Source:
    RFC 6749, section 6: https://www.rfc-editor.org/rfc/rfc6749#section-6
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from entra_async.testing.entra.grants.user_tokens import check_tenant

if TYPE_CHECKING:
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.grants.user_tokens import UserTokens

__all__ = ("refresh_token_grant",)


async def refresh_token_grant(request: TokenEndpointRequest, tokens: UserTokens) -> dict[str, Any]:
    """
    Return the response to a ``refresh_token`` request.

    Raises:
        AadstsError: If the grant fails.
    """
    request.check_grant_parameters("refresh_token")
    text = request.required("refresh_token")
    app, client_authentication = await tokens.authenticate(request)
    check_tenant(request.tenant, app)
    signed_in, expires_on = tokens.refresh_tokens.redeem(text, app, now=request.now)
    tokens.check_origin(request, single_page=signed_in.single_page)
    # Of several resources the first one gets the token.
    _, requested = tokens.read_scopes(request, app, granted=signed_in)
    signed_in.user.check_policies(mfa=signed_in.mfa, error="interaction_required")
    return tokens.token_response(
        request,
        replace(signed_in, nonce=None),
        requested[0],
        client_authentication=client_authentication,
        refresh_token_expires_on=expires_on,
    )
