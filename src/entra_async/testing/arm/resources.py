"""
The resources of the emulated Azure: subscriptions, their resource groups, and the resources in them.

Sources:
    https://learn.microsoft.com/en-us/rest/api/resources/subscriptions/list
    https://learn.microsoft.com/en-us/rest/api/resources/resource-groups/create-or-update
    https://learn.microsoft.com/en-us/rest/api/storagerp/storage-accounts/create
    https://learn.microsoft.com/en-us/rest/api/compute/virtual-machines/create-or-update
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/resource-name-rules
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = (
    "GROUP_NAME",
    "GROUP_VERSIONS",
    "LOCATIONS",
    "RESOURCE_TYPES",
    "SUBSCRIPTION_VERSIONS",
    "ArmResource",
    "ResourceGroup",
    "ResourceType",
    "Subscription",
    "normalized_location",
)

LOCATIONS: Final = ("westeurope", "northeurope", "eastus", "southcentralus", "germanywestcentral")
SUBSCRIPTION_VERSIONS: Final = frozenset({"2016-06-01", "2020-01-01", "2021-01-01", "2022-12-01"})
GROUP_VERSIONS: Final = frozenset({"2019-10-01", "2020-06-01", "2021-04-01", "2022-09-01", "2023-07-01", "2024-03-01"})
GROUP_NAME: Final = re.compile(r"[\w().-]{0,89}[\w()-]")


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceType:
    """
    A type of resource.

    Attributes:
        namespace: Its provider.
        name: The type itself.
        api_versions: The versions it is served in.
        names: What its resources may be called.
        required: The members a body must have, besides ``location``.
        actions: What can be done to a resource with a POST.
    """

    namespace: str
    name: str
    api_versions: Collection[str]
    names: re.Pattern[str]
    required: tuple[str, ...] = ()
    actions: frozenset[str] = frozenset()

    @property
    def full_name(self) -> str:
        """As resources and messages name it: ``Microsoft.Storage/storageAccounts``."""
        return f"{self.namespace}/{self.name}"


_TYPES: Final = (
    ResourceType(
        namespace="Microsoft.Storage",
        name="storageAccounts",
        api_versions=frozenset({"2021-09-01", "2022-09-01", "2023-01-01", "2023-05-01", "2024-01-01"}),
        names=re.compile(r"[a-z0-9]{3,24}"),
        required=("sku", "kind"),
    ),
    ResourceType(
        namespace="Microsoft.Compute",
        name="virtualMachines",
        api_versions=frozenset({"2023-03-01", "2023-07-01", "2023-09-01", "2024-03-01", "2024-07-01"}),
        names=re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.-]{0,62}[A-Za-z0-9_])?"),
        required=("properties",),
        actions=frozenset({"start", "deallocate", "restart", "powerOff"}),
    ),
)
RESOURCE_TYPES: Final[Mapping[tuple[str, str], ResourceType]] = {
    (kind.namespace.lower(), kind.name.lower()): kind for kind in _TYPES
}
"""By namespace and name in lower case: paths of Azure are read in any case of letters."""


@dataclass(slots=True, kw_only=True)
class ArmResource:
    """
    One resource.

    Attributes:
        kind: Its type.
        id: Its path.
        name: Its name, as it was created.
        body: What it was created with: ``location``, ``tags``, ``sku``, ``properties`` and the like.
        state: Its ``provisioningState``.
        busy: Whether an operation on it is under way.
    """

    kind: ResourceType
    id: str
    name: str
    body: dict[str, Any]
    state: str
    busy: bool = False

    def json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        properties = {**self.body.get("properties", {}), "provisioningState": self.state}
        named = {"id": self.id, "name": self.name, "type": self.kind.full_name}
        return {**named, **self.body, "properties": properties}


@dataclass(slots=True, kw_only=True)
class ResourceGroup:
    """
    One resource group.

    Attributes:
        id: Its path.
        name: Its name, as it was created.
        location: Where its own data is.
        tags: Names and values of the owner.
        state: Its ``provisioningState``.
        resources: What is in it, by type and name in lower case.
    """

    id: str
    name: str
    location: str
    tags: Mapping[str, str] = field(default_factory=dict)
    state: str = "Succeeded"
    resources: dict[tuple[str, str], ArmResource] = field(default_factory=dict, repr=False)

    def json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        body: dict[str, Any] = {"id": self.id, "name": self.name, "type": "Microsoft.Resources/resourceGroups"}
        body |= {"location": self.location, "properties": {"provisioningState": self.state}}
        return {**body, "tags": dict(self.tags)} if self.tags else body


@dataclass(slots=True, kw_only=True)
class Subscription:
    """
    One subscription.

    Attributes:
        id: Its GUID.
        name: The display name.
        groups: Its resource groups, by name in lower case.
    """

    id: str
    name: str
    groups: dict[str, ResourceGroup] = field(default_factory=dict, repr=False)

    def json(self, tenant_id: str) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "id": f"/subscriptions/{self.id}",
            "authorizationSource": "RoleBased",
            "subscriptionId": self.id,
            "tenantId": tenant_id,
            "displayName": self.name,
            "state": "Enabled",
            "subscriptionPolicies": {"locationPlacementId": "Public_2014-09-01", "quotaId": "PayAsYouGo_2014-09-01"},
        }

    def add_group(self, name: str, location: str, tags: Mapping[str, str] | None = None) -> ResourceGroup:
        """Create a resource group, or put another in its place."""
        group = ResourceGroup(
            id=f"/subscriptions/{self.id}/resourceGroups/{name}", name=name, location=location, tags=tags or {}
        )
        self.groups[name.lower()] = group
        return group


def normalized_location(text: str) -> str:
    """Return a location as Azure writes it: ``South Central US`` is ``southcentralus``."""
    return text.replace(" ", "").lower()
