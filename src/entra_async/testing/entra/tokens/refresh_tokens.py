"""
Refresh tokens: the sign-in of each, and how long it lives.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens
"""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from entra_async.testing.entra.errors import AadstsError

if TYPE_CHECKING:
    from entra_async.testing.entra.accounts import User
    from entra_async.testing.entra.app_registrations import App

__all__ = ("RefreshTokenStore", "UserSignIn")

_LIFE_S: Final = 90 * 86400.0
_SPA_LIFE_S: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UserSignIn:
    """
    A user who signed in to an app.

    Attributes:
        user: Who.
        app: To which app.
        oidc: The scopes of OpenID Connect that were granted.
        audience: Name of the resource that was requested first.
        scope: The first resource's scopes as the client wrote them, or ``None`` where it named a ``resource``.
        mfa: Whether a second factor was passed.
        at: When, epoch seconds.
        security_stamp: What the user's sign-ins remembered then; see :attr:`User.security_stamp`.
        nonce: For the ID token.
        single_page: Whether the app is a single-page application.
    """

    user: User
    app: App
    oidc: frozenset[str]
    audience: str
    scope: str | None
    mfa: bool
    at: float
    security_stamp: tuple[str, int]
    nonce: str | None = None
    single_page: bool = False

    def check_not_revoked(self) -> None:
        """
        Check that the user's sessions of that time are still good.

        Raises:
            AadstsError: 50173 if they were revoked, or the password is another one.
        """
        if self.security_stamp != self.user.security_stamp:
            raise AadstsError(50173, issued=_iso(self.at), valid_from=_iso(self.user.sessions_valid_from))


@dataclass(frozen=True, slots=True)
class _IssuedRefreshToken:
    signed_in: UserSignIn
    issued_at: float
    expires_on: float


class RefreshTokenStore:
    """
    The refresh tokens that were issued. One belongs to a user and an app, but to no resource.

    Using one brings a new one; the old one stays good until its own end.
    """

    def __init__(self) -> None:
        self._tokens: dict[str, _IssuedRefreshToken] = {}

    def issue(self, signed_in: UserSignIn, *, now: float, expires_on: float | None = None) -> str:
        """
        Return a new refresh token.

        Args:
            signed_in: Whom it stands for.
            now: Epoch seconds.
            expires_on: When it ends; in 90 days unless given, in 24 hours for a single-page application.
        """
        token = f"1.{secrets.token_urlsafe(120)}"
        life = _SPA_LIFE_S if signed_in.single_page else _LIFE_S
        self._tokens[token] = _IssuedRefreshToken(signed_in, now, now + life if expires_on is None else expires_on)
        return token

    def redeem(self, token: str, app: App, *, now: float) -> tuple[UserSignIn, float | None]:
        """
        Return whose sign-in *token* belongs to, and when its successor has to end if that is fixed.

        Raises:
            AadstsError: 70000 if it is unknown or another app's, 700082 or 700084 if it has expired, 50173 if it was
                revoked, 50057 if the account is disabled.
        """
        stored = self._tokens.get(token)
        if stored is None:
            raise AadstsError(70000, suberror="bad_token", reason="The refresh token is not one.")
        signed_in = stored.signed_in
        if signed_in.app is not app:
            raise AadstsError(
                70000, suberror="client_mismatch", reason="The refresh token was issued to another application."
            )
        if stored.expires_on <= now:
            code = 700084 if signed_in.single_page else 700082
            raise AadstsError(code, suberror="token_expired", issued=_iso(stored.issued_at))
        signed_in.check_not_revoked()
        signed_in.user.check_enabled()
        return signed_in, stored.expires_on if signed_in.single_page else None


def _iso(epoch_s: float) -> str:
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
