"""The check of a token's tenant, for token sources that cannot select it, or may ignore it."""

from __future__ import annotations

from entra_async.errors import AuthenticationError
from entra_async.tokens.token import Token

__all__ = ("check_issued_tenant",)


def check_issued_tenant(token: Token, tenant_id: str | None, *, hint: str) -> Token:
    """
    Return *token* if it is of the requested tenant, or if that is unknown.

    Args:
        token: The issued token.
        tenant_id: The requested tenant: a GUID, ``None`` for any, or a domain name, which no token has.
        hint: What to do if it is of another one.

    Raises:
        AuthenticationError: If it is of another one.
    """
    issued = token.tenant_id
    if tenant_id is not None and issued is not None and "." not in tenant_id and issued.lower() != tenant_id.lower():
        message = f"A token for tenant {tenant_id} was requested, but one for {issued} was issued."
        raise AuthenticationError(message, hint=hint)
    return token
