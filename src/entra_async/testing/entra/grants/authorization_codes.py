"""
Authorization codes: used once, soon, by the client they were issued to.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
    RFC 6749, section 4.1: https://www.rfc-editor.org/rfc/rfc6749#section-4.1
    RFC 7636, section 4.6: https://www.rfc-editor.org/rfc/rfc7636#section-4.6
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.crypto.keys import base64url
from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.user_tokens import check_tenant, only_resource

if TYPE_CHECKING:
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.grants.user_tokens import UserTokens
    from entra_async.testing.entra.tokens.refresh_tokens import UserSignIn

__all__ = ("AuthorizationCode", "AuthorizationCodes", "CodeChallenge")

_LIFE_S: Final = 600.0


@dataclass(frozen=True, slots=True)
class CodeChallenge:
    """
    What the client must prove when it redeems the code.

    Attributes:
        value: ``code_challenge``.
        method: ``S256`` or ``plain``.
    """

    value: str
    method: str

    def is_met_by(self, verifier: str) -> bool:
        """Return whether *verifier* is what the challenge was made from."""
        computed = verifier
        if self.method == "S256":
            computed = base64url(hashlib.sha256(verifier.encode()).digest())
        return hmac.compare_digest(computed.encode(), self.value.encode())


@dataclass(slots=True, kw_only=True)
class AuthorizationCode:
    """
    What one authorization code was issued for.

    Attributes:
        signed_in: Who signed in to which app.
        redirect_uri: Where the code was sent.
        challenge: The PKCE challenge, if there was one.
        redeemed: Whether it has been used.
    """

    signed_in: UserSignIn
    redirect_uri: str
    challenge: CodeChallenge | None
    redeemed: bool = False


class AuthorizationCodes:
    """The authorization codes that were issued, and the grant that redeems one."""

    def __init__(self, tokens: UserTokens) -> None:
        self._tokens = tokens
        self._codes: dict[str, AuthorizationCode] = {}

    def issue(self, code: AuthorizationCode) -> str:
        """Return the text of a new code."""
        text = f"1.{secrets.token_urlsafe(120)}"
        self._codes[text] = code
        return text

    async def grant(self, request: TokenEndpointRequest) -> dict[str, Any]:
        """
        Return the response to an ``authorization_code`` request.

        Raises:
            AadstsError: If the grant fails.
        """
        request.check_grant_parameters("code", "redirect_uri", "code_verifier")
        text, redirect_uri = request.required("code"), request.required("redirect_uri")
        app, client_authentication = await self._tokens.authenticate(request)
        check_tenant(request.tenant, app)
        code = self._codes.get(text)
        if code is None:
            raise AadstsError(70000, suberror="bad_token", reason="The authorization code is not one.")
        signed_in = code.signed_in
        if signed_in.app is not app:
            raise AadstsError(70000, suberror="client_mismatch", reason="The code was issued to another application.")
        if code.redeemed:
            raise AadstsError(54005)
        if request.now >= signed_in.at + _LIFE_S:
            raise AadstsError(70008)
        if redirect_uri != code.redirect_uri:
            raise AadstsError(500112, redirect_uri=redirect_uri)
        self._tokens.check_origin(request, single_page=signed_in.single_page)
        verifier = request.form.get("code_verifier")
        # A verifier without a challenge is a sign that the code was swapped (RFC 9700, section 4.8.2).
        if (code.challenge is None) != (verifier is None):
            raise AadstsError(501481)
        if code.challenge is not None and not code.challenge.is_met_by(verifier or ""):
            raise AadstsError(501481)
        signed_in.check_not_revoked()
        signed_in.user.check_enabled()
        _, requested = self._tokens.read_scopes(request, app, granted=signed_in)
        # Authorizing may name several resources, redeeming one; without a scope, the first of them is meant.
        resource = only_resource(request, requested) if "scope" in request.form else requested[0]
        response = self._tokens.token_response(
            request, signed_in, resource, client_authentication=client_authentication
        )
        code.redeemed = True
        return response
