"""A check for sources that cannot be told which tenant to ask, or may not listen."""

from __future__ import annotations

from entra_async.errors import AuthenticationError
from entra_async.tokens.token import Token

__all__ = ("check_issued_tenant",)


def check_issued_tenant(token: Token, tenant_id: str | None, *, hint: str) -> Token:
    """
    Return *token* if it is of the tenant asked for, or if that cannot be told.

    Args:
        token: What was issued.
        tenant_id: What was asked for: a GUID, ``None`` for any, or a domain name, which a token does not tell.
        hint: What to do if it is of another one.

    Raises:
        AuthenticationError: If it is of another one.
    """
    issued = token.tenant_id
    if tenant_id is not None and issued is not None and "." not in tenant_id and issued.lower() != tenant_id.lower():
        message = f"A token for tenant {tenant_id} was asked for, but one for {issued} was issued."
        raise AuthenticationError(message, hint=hint)
    return token
