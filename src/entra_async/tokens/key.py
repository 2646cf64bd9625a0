"""The key of a token in the cache, and the policy of an account."""

from __future__ import annotations

import json
from typing import NamedTuple

__all__ = ("NO_POLICY", "AccountPolicy", "TokenKey")


class TokenKey(NamedTuple):
    """
    The key of a token: token requests with the same key are one.

    Attributes:
        authority: Root of the sign-in service, which differs by cloud.
        tenant_id: Where to sign in; ``None`` for the provider's own tenant.
        account: Who signs in: one name for each provider in use, which stands for client and credential.
        scopes: The scopes, as requested.
        claims: What a service demanded beyond that, or ``None``.
        enable_cae: Whether the token may be a long-lived one that is revoked early.
    """

    authority: str
    tenant_id: str | None
    account: str
    scopes: tuple[str, ...]
    claims: str | None = None
    enable_cae: bool = False

    def stored_under(self, stored_as: str, sign_in: str) -> str:
        """
        Return the name of its token in the store.

        Args:
            stored_as: Identifies the account in every process.
            sign_in: Identifies which user signed in, if the account does not say that; else empty.
        """
        return json.dumps(
            ["token", stored_as, sign_in, self.authority, self.tenant_id, self.scopes, self.claims, self.enable_cae]
        )


class AccountPolicy(NamedTuple):
    """
    What tokens of an account have to be, and how they are stored.

    Attributes:
        tenant_id: The tenant, unless a key names another one; ``None`` if the provider does not say.
        client_id: The application; ``None`` if the provider does not say.
        stored_as: Identifies the account in every process; ``None`` if its tokens are not shared.
    """

    tenant_id: str | None = None
    client_id: str | None = None
    stored_as: str | None = None


NO_POLICY = AccountPolicy()
