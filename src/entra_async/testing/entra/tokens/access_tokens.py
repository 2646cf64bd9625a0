"""The access tokens Entra ID issues: their claims and how long they live."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.crypto.keys import base64url

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.crypto.signing import SigningKey
    from entra_async.testing.entra.accounts import User
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.tenant import Tenant
    from entra_async.testing.entra.tokens.access_evaluation import AccessEvaluation

__all__ = ("AccessTokenIssuer", "IssuedToken", "TokenLifetimes")

_BACKDATED_S: Final = 300  # Entra ID dates tokens five minutes back, for services whose clock is behind.


@dataclass(slots=True, kw_only=True)
class TokenLifetimes:
    """
    How long tokens live. Change it while the emulator runs.

    Attributes:
        access_s: Seconds an access token lives.
        cae_access_s: Seconds it lives when the client declared to handle claims challenges (``cp1``).
        refresh_in_s: Seconds after which the client is to renew it, or ``None`` not to say so.
    """

    access_s: int = 3599
    cae_access_s: int = 86399
    refresh_in_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """
    A new access token.

    Attributes:
        access_token: The JWT.
        audience: The resource it is for, as it was requested.
        not_before: Epoch seconds.
        expires_on: Epoch seconds.
        expires_in: Seconds from now.
    """

    access_token: str = field(repr=False)
    audience: str
    not_before: int
    expires_on: int
    expires_in: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessTokenIssuer:
    """Makes access tokens of version 1.0, which Microsoft's own services receive."""

    tenant: Tenant
    key: SigningKey
    clock: EmulatorClock
    lifetimes: TokenLifetimes
    evaluation: AccessEvaluation

    @property
    def issuer(self) -> str:
        """The ``iss`` of the tokens."""
        return f"https://sts.windows.net/{self.tenant.id}/"

    def issue_app_token(
        self,
        app: App,
        *,
        client_authentication: str,
        audience: str,
        roles: Collection[str],
        requested_claims: Mapping[str, Any],
    ) -> IssuedToken:
        """
        Return a token for the app itself.

        Args:
            app: The app that signed in.
            client_authentication: How: ``"1"`` with a secret, ``"2"`` with a certificate.
            audience: The resource, as it was requested.
            roles: The app's roles there. Without any, the token has no ``roles`` claim.
            requested_claims: The ``claims`` parameter's request for the access token.

        Sources:
            https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
        """
        claims: dict[str, Any] = {
            "appidacr": client_authentication,
            "idp": self.issuer,
            "idtyp": "app",
            "oid": app.object_id,
            "sub": app.object_id,
        }
        if roles:
            claims["roles"] = sorted(roles)
        return self._issue(claims, app, audience=audience, requested_claims=requested_claims)

    def issue_user_token(
        self,
        user: User,
        app: App,
        *,
        subject: str,
        client_authentication: str,
        audience: str,
        scopes: Sequence[str],
        mfa: bool,
        requested_claims: Mapping[str, Any],
    ) -> IssuedToken:
        """
        Return a token for an app that acts for a user.

        Args:
            user: Who signed in.
            app: To which app.
            subject: What the resource knows the user by.
            client_authentication: How the app proved itself: ``"0"`` not at all, ``"1"`` secret, ``"2"`` certificate.
            audience: The resource, as it was requested.
            scopes: The delegated permissions.
            mfa: Whether a second factor was passed.
            requested_claims: The ``claims`` parameter's request for the access token.
        """
        claims: dict[str, Any] = {
            "acct": 0,
            "acr": "1",
            "amr": ["pwd", "mfa"] if mfa else ["pwd"],
            "app_displayname": app.name,
            "appidacr": client_authentication,
            "idtyp": "user",
            "ipaddr": "127.0.0.1",
            "name": user.display_name,
            "oid": user.id,
            "scp": " ".join(scopes),
            "sub": subject,
            "unique_name": user.user_principal_name,
            "upn": user.user_principal_name,
        }
        return self._issue(claims, app, audience=audience, requested_claims=requested_claims)

    def _issue(
        self, particular: Mapping[str, Any], app: App, *, audience: str, requested_claims: Mapping[str, Any]
    ) -> IssuedToken:
        now = int(self.clock.now())
        handles_challenges = _declares_cp1(requested_claims)
        expires_in = self.lifetimes.cae_access_s if handles_challenges else self.lifetimes.access_s
        # A requested start is met by what is issued now; without such a claim the token is dated back all the same.
        not_before = max(now - _BACKDATED_S, min(now, _requested_start(requested_claims)))
        claims: dict[str, Any] = {
            "aud": audience,
            "iss": self.issuer,
            "iat": not_before,
            "nbf": not_before,
            "exp": now + expires_in,
            "appid": app.client_id,
            "rh": f"0.{base64url(secrets.token_bytes(24))}.",
            "tid": self.tenant.id,
            # Two tokens of the same second differ by this alone.
            "uti": base64url(secrets.token_bytes(16)),
            "ver": "1.0",
            **particular,
        }
        if handles_challenges:
            claims["xms_cc"] = ["cp1"]
        contexts = _read(requested_claims, "acrs")
        if contexts:
            claims["acrs"] = contexts
        self.evaluation.record_issued(claims["uti"])
        return IssuedToken(
            access_token=self.key.sign(claims),
            audience=audience,
            not_before=not_before,
            expires_on=now + expires_in,
            expires_in=expires_in,
        )


def _read(requested_claims: Mapping[str, Any], name: str) -> list[str]:
    # OpenID Connect Core 1.0, section 5.5.1: one value or several.
    claim = requested_claims.get(name)
    if not isinstance(claim, dict):
        return []
    values = claim.get("values", [claim.get("value")])
    return [value for value in values if isinstance(value, str)] if isinstance(values, list) else []


def _declares_cp1(requested_claims: Mapping[str, Any]) -> bool:
    return any(value.lower() == "cp1" for value in _read(requested_claims, "xms_cc"))


def _requested_start(requested_claims: Mapping[str, Any]) -> int:
    return max((int(value) for value in _read(requested_claims, "nbf") if value.isdecimal()), default=0)
