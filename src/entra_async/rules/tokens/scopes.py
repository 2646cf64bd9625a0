"""
The scopes and the resource of a token request. Pure.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final

from entra_async.errors import ConfigurationError
from entra_async.rules.tokens.token_request import check_token_request

__all__ = ("default_scope", "qualify_scopes", "resource_of")

_DEFAULT: Final = "/.default"
# A resource is put into commands and URLs: no blank, quote or sign that a shell or a query would read otherwise.
_RESOURCE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_\-.:/]{0,500}")

# They belong to no resource; MSAL asks for those that a flow needs.
_OPENID: Final = frozenset({"openid", "profile", "email", "offline_access"})


def default_scope(audience: str) -> str:
    """
    Return the ``.default`` scope of a resource: every permission granted there.

    An audience that ends in a slash gives two, so that the token's audience keeps its own.
    """
    return f"{audience}/.default"


def qualify_scopes(scopes: Iterable[str], *, audience: str) -> tuple[str, ...]:
    """
    Return each scope with its resource in front: ``User.Read`` becomes ``https://graph.microsoft.com/User.Read``.

    A scope that names a resource already (``api://orders/Read``) stays as it is; those of OpenID Connect are left out,
    since MSAL adds them. Without any scope left, it is the ``.default`` scope.

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
    given = tuple(scopes)
    check_token_request(given, None)
    qualified = (scope if "/" in scope else f"{audience}/{scope}" for scope in given if scope not in _OPENID)
    wanted = tuple(dict.fromkeys(qualified)) or (default_scope(audience),)
    if len(wanted) > 1 and any(scope.endswith("/.default") for scope in wanted):
        message = ".default stands for all scopes, so no other stands beside it."
        raise ConfigurationError(message, field="scopes", hint="Give .default alone, or the scopes one by one.")
    return wanted


def resource_of(scopes: Sequence[str]) -> str:
    """
    Return the resource of a ``.default`` scope, for token endpoints that take a resource instead of scopes.

    Args:
        scopes: Exactly one, such as ``https://graph.microsoft.com/.default``.

    Raises:
        ConfigurationError: If it is anything else.

    Example:
        >>> resource_of(["https://graph.microsoft.com/.default"])
        'https://graph.microsoft.com'
    """
    if len(scopes) == 1 and scopes[0].endswith(_DEFAULT):
        resource = scopes[0].removesuffix(_DEFAULT)
        if _RESOURCE.fullmatch(resource):
            return resource
    message = (
        f"The scopes are {', '.join(map(repr, scopes)) or 'none'}; this way to sign in knows whole resources only."
    )
    raise ConfigurationError(message, field="scopes", hint="Give one scope that ends in /.default.")
