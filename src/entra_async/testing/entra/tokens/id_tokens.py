"""
How a client learns who signed in: the ID token, ``client_info``, and the subject that differs from client to client.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/id-token-claims-reference
    OpenID Connect Core 1.0, section 2: https://openid.net/specs/openid-connect-core-1_0.html#IDToken
"""

from __future__ import annotations

import hashlib
import json
import secrets
from typing import TYPE_CHECKING, Any

from entra_async.testing.crypto.keys import base64url

if TYPE_CHECKING:
    from entra_async.testing.entra.accounts import User

__all__ = ("client_info", "id_token_claims", "pairwise_subject")


def pairwise_subject(user: User, app_id: str, tenant_id: str) -> str:
    """Return the ``sub`` of *user* for one app: always the same, and another one for every other app."""
    return base64url(hashlib.sha256(f"{user.id}|{app_id}|{tenant_id}".encode()).digest())


def client_info(user: User, tenant_id: str) -> str:
    """Return the ``client_info`` from which MSAL builds an account's id."""
    return base64url(json.dumps({"uid": user.id, "utid": tenant_id}).encode())


def id_token_claims(
    user: User, *, version: int, host: str, tenant_id: str, client_id: str, nonce: str | None, now: int
) -> dict[str, Any]:
    """
    Return the claims of an ID token, which lives an hour.

    Args:
        user: Who signed in.
        version: ``1`` for the older endpoint, ``2`` for v2.0.
        host: Name of the sign-in service, for the issuer of v2.0.
        tenant_id: The tenant.
        client_id: Whom it is for.
        nonce: What the client sent to authorize, unchanged.
        now: Epoch seconds.
    """
    claims: dict[str, Any] = {
        "aud": client_id,
        "iss": f"https://{host}/{tenant_id}/v2.0" if version == 2 else f"https://sts.windows.net/{tenant_id}/",
        "iat": now - 300,
        "nbf": now - 300,
        "exp": now + 3600,
        "name": user.display_name,
        "oid": user.id,
        "rh": f"0.{base64url(secrets.token_bytes(24))}.",
        "sub": pairwise_subject(user, client_id, tenant_id),
        "tid": tenant_id,
        "uti": base64url(secrets.token_bytes(16)),
        "ver": f"{version}.0",
    }
    if version == 2:
        claims["preferred_username"] = user.user_principal_name
    else:
        claims |= {"upn": user.user_principal_name, "unique_name": user.user_principal_name, "amr": ["pwd"]}
    if nonce is not None:
        claims["nonce"] = nonce
    return claims
