"""
What to ask a token for. Pure.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from entra_async.errors import ConfigurationError

__all__ = ("everything_granted", "qualify_scopes")

# They belong to no resource; MSAL asks for those that a flow needs.
_OPENID: Final = frozenset({"openid", "profile", "email", "offline_access"})


def everything_granted(audience: str) -> str:
    """
    Return the scope that stands for everything granted at a resource.

    An audience that ends in a slash gives two, so that the token's audience keeps its own.
    """
    return f"{audience}/.default"


def qualify_scopes(scopes: Iterable[str], *, audience: str) -> tuple[str, ...]:
    """
    Return each scope with its resource in front: ``User.Read`` becomes ``https://graph.microsoft.com/User.Read``.

    A scope that names a resource already (``api://orders/Read``) stays as it is; those of OpenID Connect are left out,
    since they are asked for by themselves. Without any scope left, everything granted is asked for.

    Args:
        scopes: As the caller wrote them.
        audience: The resource of those that name none.

    Raises:
        ConfigurationError: If a scope is empty, holds a blank, or ``.default`` stands beside others of the resource.

    Example:
        >>> qualify_scopes(["User.Read", "offline_access"], audience="https://graph.microsoft.com")
        ('https://graph.microsoft.com/User.Read',)
    """
    if isinstance(scopes, str):
        message = f"scopes is {scopes!r}, one text."
        raise ConfigurationError(message, field="scopes", hint="Give a list of scopes.")
    qualified: list[str] = []
    for scope in scopes:
        if not isinstance(scope, str) or not scope or any(character.isspace() for character in scope):
            message = f"A scope is {scope!r}."
            raise ConfigurationError(message, field="scopes", hint="Give each scope as a text without blanks.")
        if scope not in _OPENID:
            qualified.append(scope if "/" in scope else f"{audience}/{scope}")
    wanted = tuple(dict.fromkeys(qualified)) or (everything_granted(audience),)
    if len(wanted) > 1 and any(scope.endswith("/.default") for scope in wanted):
        message = ".default stands for all scopes, so no other stands beside it."
        raise ConfigurationError(message, field="scopes", hint="Give .default alone, or the scopes one by one.")
    return wanted
