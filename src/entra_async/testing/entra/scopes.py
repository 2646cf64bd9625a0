"""
Reading the ``scope`` parameter of the v2.0 token endpoint.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc
"""

from __future__ import annotations

from typing import Final

from entra_async.testing.entra.errors import AadstsError

__all__ = ("OIDC_SCOPES", "resource_of_default_scope")

OIDC_SCOPES: Final = frozenset({"openid", "profile", "email", "offline_access"})
"""The scopes that belong to no API."""


def resource_of_default_scope(scope: str) -> str:
    """
    Return the resource of a ``{resource}/.default`` scope, as an app without a user must request it.

    The resource is the text before the last slash: one that ends in a slash itself needs two of them.

    Args:
        scope: The parameter: scopes separated by blanks.

    Raises:
        AadstsError: If it names no resource or several, or anything but ``.default`` of one.
    """
    wanted = [name for name in scope.split() if name not in OIDC_SCOPES]
    resources = {name.rpartition("/")[0] for name in wanted}
    if len(resources) > 1:
        raise AadstsError(700022, scope=scope)
    named = [name for name in wanted if name.rpartition("/")[2] != ".default"]
    if named and len(named) < len(wanted):
        raise AadstsError(70011, scope=scope)
    if not wanted:
        # Microsoft's list of errors has 700023 for a scope without a resource (reference-error-codes,
        # InvalidResourcelessScope), and OpenID Connect's scopes belong to none. In practice 1002012 is seen for some of
        # these requests, too. The documented code it is here; 1002012 is for a scope that does belong to a resource,
        # if only because one without a prefix is Graph's, but is not "{resource}/.default".
        reason = f"The input parameter 'scope' isn't valid because it has no resource: {scope}."
        raise AadstsError(700023, error="invalid_scope", reason=reason)
    resource = next(iter(resources), "")
    if named or not resource:
        raise AadstsError(1002012, scope=scope)
    return resource
