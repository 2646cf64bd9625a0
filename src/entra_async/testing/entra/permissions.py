"""
Delegated permissions: which ones a ``scope`` parameter names, and how they are written back.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc
    https://learn.microsoft.com/en-us/entra/identity-platform/permissions-consent-overview
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.scopes import OIDC_SCOPES

if TYPE_CHECKING:
    from collections.abc import Collection

    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.resource_servers import Permission, ResourceServer
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("RequestedScopes", "ResourceScopes", "read_resource", "read_scopes")

_GRAPH: Final = "00000003-0000-0000-c000-000000000000"


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceScopes:
    """
    The scopes requested of one resource server.

    Attributes:
        resource: The resource.
        audience: Its name as it was requested; its application id when the scopes named none.
        prefix: The prefix of each scope in the request, and so in the response.
        names: The permissions requested by name.
        default: Whether ``.default`` is requested: whatever the registration of the app lists.
    """

    resource: ResourceServer
    audience: str
    prefix: str
    names: frozenset[str]
    default: bool

    def wanted(self, app: App) -> frozenset[Permission]:
        """
        Return the permissions the app must have been granted to get what it requests.

        Raises:
            AadstsError: 650057 if it requests its registered permissions, and has none there.
        """
        if not self.default:
            return frozenset((self.resource.app_id, name) for name in self.names)
        listed = frozenset(permission for permission in app.delegated if permission[0] == self.resource.app_id)
        if not listed:
            raise AadstsError(650057, client_id=app.client_id, resource=self.audience)
        return listed

    def written(self, granted: Collection[str]) -> str:
        """Return the names of *granted* as the ``scope`` of a token response."""
        names = [*sorted(granted), *([".default"] if self.default else [])]
        return " ".join(f"{self.prefix}{name}" for name in names)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestedScopes:
    """
    A ``scope`` parameter, understood.

    Attributes:
        oidc: The scopes that belong to no resource: ``openid``, ``offline_access`` and the like.
        resources: The scopes requested of each resource server, in the order they were named; never empty.
    """

    oidc: frozenset[str]
    resources: tuple[ResourceScopes, ...]


def read_scopes(text: str, app: App, tenant: Tenant) -> RequestedScopes:
    """
    Return what a ``scope`` parameter requests. Without a resource's scope, that is Microsoft Graph's user info.

    Args:
        text: Scopes separated by blanks.
        app: The caller.
        tenant: Where the resources are looked up.

    Raises:
        AadstsError: 500011 for an unknown resource, 650053 for an unknown scope, 70011 for ``.default`` among others.
    """
    oidc: set[str] = set()
    prefixes: dict[str, tuple[ResourceServer, str]] = {}  # by application id, how the resource was named first
    names: dict[str, set[str]] = {}
    for scope in text.split():
        if scope in OIDC_SCOPES:
            oidc.add(scope)
            continue
        audience, slash, name = scope.rpartition("/")
        resource = _find(audience, tenant)
        found = ".default" if slash and name == ".default" else resource.find_scope(name)
        if found is None:
            raise AadstsError(650053, client_id=app.client_id, scope=name, resource=resource.app_id)
        prefixes.setdefault(resource.app_id, (resource, audience + slash))
        names.setdefault(resource.app_id, set()).add(found)
    if not prefixes:
        prefixes[_GRAPH] = (_find("", tenant), "")
    if any(".default" in found and len(found) > 1 for found in names.values()):
        raise AadstsError(70011, scope=text)
    requested = tuple(
        ResourceScopes(
            resource=resource,
            audience=prefix[:-1] or app_id,
            prefix=prefix,
            names=frozenset(names.get(app_id, ())) - {".default"},
            default=".default" in names.get(app_id, ()),
        )
        for app_id, (resource, prefix) in prefixes.items()
    )
    return RequestedScopes(oidc=frozenset(oidc), resources=requested)


def read_resource(name: str, tenant: Tenant) -> ResourceScopes:
    """
    Return what the ``resource`` parameter of the older endpoints requests: all the app may have there.

    Raises:
        AadstsError: 500011 for an unknown resource.
    """
    return ResourceScopes(resource=_find(name, tenant), audience=name, prefix="", names=frozenset(), default=True)


def _find(audience: str, tenant: Tenant) -> ResourceServer:
    resource = tenant.find_resource(audience or _GRAPH)
    if resource is None:
        raise AadstsError(500011, resource=audience, tenant=tenant.id)
    return resource
