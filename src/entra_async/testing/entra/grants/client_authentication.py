"""
Client authentication: which app calls the token endpoint, and whether it proves that.

Sources:
    RFC 6749, section 2.3: https://www.rfc-editor.org/rfc/rfc6749#section-2.3
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-client-creds-grant-flow
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote_plus

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.client_assertion import verify_client_assertion
from entra_async.testing.entra.grants.federation import has_external_issuer

if TYPE_CHECKING:
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.grants.federation import Federation
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("ClientAuthenticator",)

_JWT_BEARER: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientAuthenticator:
    """Knows the apps of a tenant, and whose assertions they may sign in with."""

    tenant: Tenant
    federation: Federation

    async def __call__(self, request: TokenEndpointRequest) -> tuple[App, str]:
        """
        Return the app that calls, and how it proved itself: ``"0"`` not at all, ``"1"`` secret, ``"2"`` assertion.

        Only a public client may come without proof; whether the grant suits it is for the grant to decide.

        Raises:
            AadstsError: If the app is unknown or disabled, or its credential is missing, surplus or wrong.
        """
        app, secret, assertion = _find_app(request, self.tenant)
        if secret is not None:
            _check_secret(secret, app, now=request.now)
            return app, "1"
        if assertion is None:
            return app, "0"
        if request.required("client_assertion_type") != _JWT_BEARER:
            raise AadstsError(9002313, reason=f"The 'client_assertion_type' must be '{_JWT_BEARER}'.")
        if has_external_issuer(assertion):
            await self.federation.verify(assertion, app, authority=request.authority, now=request.now)
        else:
            verify_client_assertion(assertion, app, token_url=request.url, now=request.now)
        return app, "2"


def _find_app(request: TokenEndpointRequest, tenant: Tenant) -> tuple[App, str | None, str | None]:
    """Return the app, and the one credential it offers: a secret or an assertion; a public client offers none."""
    basic = _basic_credentials(request.authorization)
    client_id = request.form.get("client_id") or (basic[0] if basic else request.required("client_id"))
    if basic and basic[0] != client_id:
        raise AadstsError(9002313, reason="The Authorization header and 'client_id' name different apps.")
    app = tenant.find_app(client_id)
    if app is None:
        raise AadstsError(700016, client_id=client_id, tenant=request.tenant)
    if app.disabled:
        raise AadstsError(7000112, client_id=app.client_id)

    assertion = request.form.get("client_assertion")
    if assertion is None and "client_assertion_type" in request.form:
        raise AadstsError(900144, parameter="client_assertion")
    offered = [text for text in (basic and basic[1], request.form.get("client_secret"), assertion) if text]
    if len(offered) > 1:
        raise AadstsError(9002313, reason="More than one client credential is given.")
    if app.public_client:
        if offered:
            raise AadstsError(700025)
        return app, None, None
    if not offered:
        raise AadstsError(7000218)
    return app, offered[0] if assertion is None else None, assertion


def _check_secret(secret: str, app: App, *, now: float) -> None:
    matching = [known for known in app.secrets if hmac.compare_digest(known.text.encode(), secret.encode())]
    if not matching:
        raise AadstsError(7000215, client_id=app.client_id)
    if all(known.expires_on is not None and known.expires_on <= now for known in matching):
        raise AadstsError(7000222, client_id=app.client_id)


def _basic_credentials(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None  # EntraAuth sends its assertion as a Bearer token, too: not ours to read
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True).decode("utf-8")
    except (binascii.Error, ValueError) as error:
        raise AadstsError(9002313, reason="The Authorization header is malformed.") from error
    client_id, colon, secret = decoded.partition(":")
    if not colon:
        raise AadstsError(9002313, reason="The Authorization header is malformed.")
    return unquote_plus(client_id), unquote_plus(secret)
