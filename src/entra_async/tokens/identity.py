"""The principal that a connection is signed in as."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from entra_async.tokens.token import Token

__all__ = ("Identity", "identity_of")


@dataclass(frozen=True, slots=True)
class Identity:
    """
    The signed-in principal, by the claims of its token: unverified, and ``None`` where the token has none.

    Attributes:
        service: The connection.
        provider: How it signed in, such as ``"ClientSecret"``.
        tenant_id: The tenant.
        client_id: The application.
        object_id: The user's or service principal's object id in the tenant.
        user_name: The user principal name; ``None`` for an application.
        name: The user's or application's display name.
        audience: The token's audience.
        scopes: Its permissions: the roles of an application, or delegated permissions.
        expires_on: When the token expires, in UTC.
    """

    service: str
    provider: str
    tenant_id: str | None
    client_id: str | None
    object_id: str | None
    user_name: str | None
    name: str | None
    audience: str | None
    scopes: tuple[str, ...]
    expires_on: datetime


def identity_of(token: Token, *, service: str, provider: str) -> Identity:
    """Return the principal that a token was issued to."""
    claims = token.claims
    return Identity(
        service=service,
        provider=provider,
        tenant_id=token.tenant_id,
        client_id=token.client_id,
        object_id=claims.get("oid"),
        user_name=claims.get("upn") or claims.get("preferred_username") or claims.get("unique_name"),
        name=claims.get("name") or claims.get("app_displayname"),
        audience=token.audience,
        scopes=token.scopes,
        expires_on=datetime.fromtimestamp(token.expires_on, UTC),
    )
