"""
Signing an app in with the token of another issuer: workload identity federation.

Sources:
    https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation
    https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import aiohttp
import jwt

from entra_async.testing.entra.errors import AadstsError

if TYPE_CHECKING:
    import ssl

    from jwt.types import Options

    from entra_async.testing.crypto.signing import SigningKey
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("Federation", "has_external_issuer")

_CLOCK_SKEW_S: Final = 300
# The times are judged by the emulator's clock, the rest by the app's credentials.
_SIGNATURE_ONLY: Final[Options] = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


def has_external_issuer(assertion: str) -> bool:
    """Return whether *assertion* names an issuer other than the app itself. What is no JWT does not."""
    return str(_claims(assertion).get("iss")).startswith("https://")


@dataclass(frozen=True, slots=True, kw_only=True)
class Federation:
    """
    Verifies assertions of other issuers against the federated credentials of an app.

    Attributes:
        tenant: The tenant.
        key: Its own key: a managed identity's token is one of the tenant's own.
        own_issuer: The ``iss`` of the tenant's own tokens.
        tls: Trusts the issuers' certificates.
    """

    tenant: Tenant
    key: SigningKey
    own_issuer: str
    tls: ssl.SSLContext

    async def verify(self, assertion: str, app: App, *, authority: str, now: float) -> None:
        """
        Check that *assertion* was made by an issuer *app* trusts, for this purpose, and is valid now.

        Args:
            assertion: The ``client_assertion``.
            app: The app that ``client_id`` names.
            authority: Root of the sign-in service as it was called.
            now: Epoch seconds.

        Raises:
            AadstsError: 70021, 700211, 700212 or 700213 if no credential of the app matches, 700229 for a user's
                token of this tenant, 90061 if the issuer's keys can't be had, 700027 or 700024 for a bad signature or
                time.
        """
        claims = _claims(assertion)
        own = claims["iss"] == self.own_issuer
        # Entra ID gives its token-exchange resource tokens of version 2.0, whose issuer is what a credential names.
        issuer = f"{authority}/{self.tenant.id}/v2.0" if own else str(claims["iss"])
        _match(app, issuer, claims)
        if own:
            self._verify_own(assertion)
        else:
            await self._verify_external(assertion, issuer)
        _check_times(claims, now=now)

    def _verify_own(self, assertion: str) -> None:
        try:
            claims = self.key.verify(assertion)
        except jwt.InvalidTokenError as error:
            raise AadstsError(700027, reason="The signature does not match.") from error
        if claims.get("idtyp") != "app":
            raise AadstsError(700229)

    async def _verify_external(self, assertion: str, issuer: str) -> None:
        keys = await self._published_keys(issuer)
        try:
            key = keys[jwt.get_unverified_header(assertion).get("kid", "")]
            jwt.decode(assertion, key, algorithms=["RS256"], options=_SIGNATURE_ONLY)
        except KeyError as error:
            raise AadstsError(700027, reason="The key was not found.") from error
        except jwt.InvalidTokenError as error:
            raise AadstsError(700027, reason="The signature does not match.") from error

    async def _published_keys(self, issuer: str) -> jwt.PyJWKSet:
        connector = aiohttp.TCPConnector(ssl=self.tls, force_close=True)
        try:
            async with aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT, raise_for_status=True) as session:
                async with session.get(f"{issuer.removesuffix('/')}/.well-known/openid-configuration") as response:
                    configuration = await response.json()
                if configuration["issuer"] != issuer:
                    raise AadstsError(90061, reason="The configuration names another issuer.")
                async with session.get(configuration["jwks_uri"]) as response:
                    return jwt.PyJWKSet.from_dict(await response.json())
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError, jwt.PyJWTError) as error:
            raise AadstsError(90061, reason=f"{type(error).__name__} at {issuer}.") from error


def _claims(assertion: str) -> dict[str, Any]:
    try:
        claims = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
    return claims if isinstance(claims.get("iss"), str) else {}


def _match(app: App, issuer: str, claims: dict[str, Any]) -> None:
    audiences = claims.get("aud")
    audience = audiences[0] if isinstance(audiences, list) and len(audiences) == 1 else audiences
    subject = str(claims.get("sub"))
    known = app.federated_credentials
    if not known:
        raise AadstsError(70021, issuer=issuer, subject=subject, audience=str(audience))
    # Exactly: letters' case, a final slash and a wildcard make another text.
    known = [credential for credential in known if credential.issuer == issuer]
    if not known:
        raise AadstsError(700211, issuer=issuer)
    known = [credential for credential in known if credential.subject == subject]
    if not known:
        raise AadstsError(700213, subject=subject)
    if all(credential.audience != audience for credential in known):
        raise AadstsError(700212, audience=str(audience))


def _check_times(claims: dict[str, Any], *, now: float) -> None:
    start, end = claims.get("nbf", claims.get("iat", 0)), claims.get("exp")
    if not isinstance(end, int | float) or not isinstance(start, int | float):
        raise AadstsError(50027, reason="It does not say when it is valid.")
    if not start - _CLOCK_SKEW_S <= now < end:
        raise AadstsError(700024, now=str(now), start=str(start), end=str(end))
