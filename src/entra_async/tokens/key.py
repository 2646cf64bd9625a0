"""What tells one token from another."""

from __future__ import annotations

import json
from typing import NamedTuple

__all__ = ("NO_TERMS", "AccountPolicy", "TokenKey")


class TokenKey(NamedTuple):
    """
    What makes two requests for a token the same.

    Attributes:
        authority: Root of the sign-in service: it tells the cloud.
        tenant_id: Where to sign in; ``None`` for the provider's own tenant.
        account: Who signs in: one name for each provider in use, which stands for client and credential.
        scopes: The scopes, as asked.
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
        Return the name of its token in a store.

        Args:
            stored_as: Stands for the account in every process.
            sign_in: Tells apart the people who sign in one after the other with the same account; empty if it is one.
        """
        return json.dumps(
            ["token", stored_as, sign_in, self.authority, self.tenant_id, self.scopes, self.claims, self.enable_cae]
        )


class AccountPolicy(NamedTuple):
    """
    What is known of an account.

    Attributes:
        tenant_id: Where it signs in, unless a key names another tenant; ``None`` if it does not say.
        client_id: The application; ``None`` if it does not say.
        stored_as: Stands for it in every process; ``None`` if its tokens are not shared.
    """

    tenant_id: str | None = None
    client_id: str | None = None
    stored_as: str | None = None


NO_TERMS = AccountPolicy()
