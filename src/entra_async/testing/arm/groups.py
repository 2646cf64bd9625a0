"""
Subscriptions and resource groups of the emulated Azure Resource Manager.

Sources:
    https://learn.microsoft.com/en-us/rest/api/resources/subscriptions
    https://learn.microsoft.com/en-us/rest/api/resources/resource-groups
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from entra_async.testing.arm.call import ArmCall, json_response
from entra_async.testing.arm.errors import ArmError, group_not_found, invalid_api_version
from entra_async.testing.arm.polling import location_headers, location_response
from entra_async.testing.arm.resources import (
    GROUP_NAME,
    GROUP_VERSIONS,
    LOCATIONS,
    SUBSCRIPTION_VERSIONS,
    ResourceGroup,
    normalized_location,
)

if TYPE_CHECKING:
    from entra_async.testing.arm.pages import ArmPages
    from entra_async.testing.clock import EmulatorClock

__all__ = ("ArmGroups",)

_READ: Final = "Microsoft.Resources/subscriptions/read"
_GROUPS: Final = "Microsoft.Resources/subscriptions/resourceGroups"


class ArmGroups:
    """
    Handles requests to subscriptions and resource groups.

    Args:
        pages: Serves lists.
        clock: Decides which deletions have ended.
        tenant_id: The tenant the subscriptions trust.
    """

    def __init__(self, pages: ArmPages, clock: EmulatorClock, tenant_id: str) -> None:
        self._pages = pages
        self._clock = clock
        self._tenant_id = tenant_id

    async def list_subscriptions(self, call: ArmCall) -> web.Response:
        """List the subscriptions at which the caller has a role."""
        _check(call, SUBSCRIPTION_VERSIONS)
        allowed = [each for each in call.arm.subscriptions.values() if call.arm.allows(call.object_id, each.id, _READ)]
        return self._pages.page_response(call, [subscription.json(self._tenant_id) for subscription in allowed])

    async def get_subscription(self, call: ArmCall) -> web.Response:
        """Read one subscription."""
        _check(call, SUBSCRIPTION_VERSIONS)
        subscription = call.subscription
        call.require(_READ)
        return json_response(subscription.json(self._tenant_id))

    async def list(self, call: ArmCall) -> web.Response:
        """List resource groups."""
        _check(call, GROUP_VERSIONS)
        groups = call.subscription.groups
        call.require(f"{_GROUPS}/read")
        return self._pages.page_response(call, [group.json() for _, group in sorted(groups.items())])

    async def get(self, call: ArmCall) -> web.Response:
        """Read one resource group."""
        return json_response(_group(call, "read").json())

    async def check_existence(self, call: ArmCall) -> web.Response:
        """Respond with 204 if the group exists."""
        _group(call, "read")
        return web.Response(status=204)

    async def put(self, call: ArmCall) -> web.Response:
        """Create a resource group, or replace its tags."""
        _check(call, GROUP_VERSIONS)
        subscription, name = call.subscription, call.path[3]
        call.require(f"{_GROUPS}/write")
        body = await call.read_json()
        location, tags = _read_group(name, body)
        group = subscription.groups.get(name.lower())
        if group is None:
            return json_response(subscription.add_group(name, location, tags).json(), status=201)
        if group.location != location:
            message = (
                f"Invalid resource group location '{location}'. The Resource group already exists in location "
                f"'{group.location}'."
            )
            raise ArmError(409, "InvalidResourceGroupLocation", message)
        _check_not_deleting(group)
        group.tags = tags
        return json_response(group.json())

    async def delete(self, call: ArmCall) -> web.Response:
        """Begin to delete a resource group with all that is in it; it is always followed by ``Location``."""
        group, groups = _group(call, "delete"), call.subscription.groups
        _check_not_deleting(group)
        plan = replace(call.arm.started.plan, form="location")
        group.state = "Deleting"

        def finish() -> None:
            if plan.failure is None:
                del groups[group.name.lower()]
            else:
                group.state = "Succeeded"  # what is left can be used and deleted again

        operation = call.arm.started.start(
            api_version=call.api_version, finish=finish, result=lambda: (200, None), plan=plan
        )
        path = f"/subscriptions/{call.path[1]}/operationresults/{operation.id}"
        return web.Response(status=202, headers=location_headers(call, operation, path))

    async def deletion(self, call: ArmCall) -> web.Response:
        """Report the progress of a deletion."""
        _check(call, GROUP_VERSIONS)
        call.require(f"{_GROUPS}/read")
        return location_response(call, self._clock.now())


def _check(call: ArmCall, supported: frozenset[str]) -> None:
    call.check_version(supported, invalid_api_version(call.api_version, supported))


def _group(call: ArmCall, verb: str) -> ResourceGroup:
    _check(call, GROUP_VERSIONS)
    subscription = call.subscription
    call.require(f"{_GROUPS}/{verb}")
    group = subscription.groups.get(call.path[3].lower())
    if group is None:
        raise group_not_found(call.path[3])
    return group


def _check_not_deleting(group: ResourceGroup) -> None:
    if group.state == "Deleting":
        message = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
        raise ArmError(409, "ResourceGroupBeingDeleted", message)


def _read_group(name: str, body: dict[str, Any]) -> tuple[str, dict[str, str]]:
    if GROUP_NAME.fullmatch(name) is None:
        message = (
            f"The provided resource group name '{name}' has these invalid characters or is too long. The name can only "
            "be a letter, digit, '-', '.', '(', ')' or '_', at most 90 of them, and must not end with '.'."
        )
        raise ArmError(400, "InvalidResourceGroup", message)
    if unknown := body.keys() - {"location", "tags", "managedBy", "properties", "id", "name", "type"}:
        message = f"Could not find member '{min(unknown)}' on object of type 'ResourceGroupDefinition'."
        raise ArmError(400, "InvalidRequestContent", message)
    location, tags = body.get("location"), body.get("tags") or {}
    if not isinstance(location, str) or not location:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if normalized_location(location) not in LOCATIONS:
        message = (
            f"The provided location '{location}' is not available for resource group. "
            f"List of available regions is '{','.join(LOCATIONS)}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceGroup", message)
    if not isinstance(tags, dict) or not all(isinstance(value, str) for value in tags.values()) or len(tags) > 50:
        raise ArmError(400, "InvalidTags", "Tags are at most 50 names, each with a text as its value.")
    return normalized_location(location), tags
