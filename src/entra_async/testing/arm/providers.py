"""
Resource providers of the emulated Azure: reading resources, and the long-running operations that change them.

Sources:
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/async-operations
    https://learn.microsoft.com/en-us/rest/api/storagerp/storage-accounts
    https://learn.microsoft.com/en-us/rest/api/compute/virtual-machines
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from entra_async.testing.arm.call import ArmCall, json_response
from entra_async.testing.arm.errors import ArmError, group_not_found, no_registered_provider, resource_not_found
from entra_async.testing.arm.polling import location_response, polling_headers, status_response
from entra_async.testing.arm.resources import (
    LOCATIONS,
    RESOURCE_TYPES,
    ArmResource,
    ResourceGroup,
    ResourceType,
    normalized_location,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from entra_async.testing.arm.operations import ArmOperation
    from entra_async.testing.arm.pages import ArmPages
    from entra_async.testing.clock import EmulatorClock

__all__ = ("ArmProviders",)

# What a client may send back of what it was given; it changes nothing.
_READ_ONLY: Final = frozenset({"id", "name", "type"})


class ArmProviders:
    """
    Handles requests to resources and to the operations on them.

    Args:
        pages: Serves lists.
        clock: Decides which operations have ended.
    """

    def __init__(self, pages: ArmPages, clock: EmulatorClock) -> None:
        self._pages = pages
        self._clock = clock

    async def list_in_subscription(self, call: ArmCall) -> web.Response:
        """List the resources of a type in every group."""
        kind, subscription = _kind(call, 3), call.subscription
        call.require(f"{kind.full_name}/read")
        groups = [group for _, group in sorted(subscription.groups.items())]
        return self._pages.page_response(call, [entry for group in groups for entry in _entries(group, kind)])

    async def list(self, call: ArmCall) -> web.Response:
        """List the resources of a type in one group."""
        kind, group = _kind(call, 5), _group(call)
        call.require(f"{kind.full_name}/read")
        return self._pages.page_response(call, _entries(group, kind))

    async def get(self, call: ArmCall) -> web.Response:
        """Read one resource."""
        return json_response(_existing(call, "read").json())

    async def put(self, call: ArmCall) -> web.Response:
        """Begin to create a resource, or to replace it."""
        kind, group, name = _kind(call, 5), _group(call), call.path[7]
        call.require(f"{kind.full_name}/write")
        body = _read_resource(kind, name, await call.read_json())
        key = (kind.full_name.lower(), name.lower())
        resource = group.resources.get(key)
        created = resource is None
        if resource is None:
            path = f"{group.id}/providers/{kind.full_name}/{name}"
            resource = ArmResource(kind=kind, id=path, name=name, body=body, state="Creating")
        else:
            _check_idle(resource)
            if resource.body["location"] != body["location"]:
                message = (
                    f"The resource '{name}' already exists in location '{resource.body['location']}'. A resource with "
                    f"the same name cannot be created in location '{body['location']}'."
                )
                raise ArmError(409, "InvalidResourceLocation", message)
        started = self._start(call, resource, "Creating" if created else "Updating", lambda: (200, resource.json()))
        resource.body = body
        group.resources[key] = resource
        if started is None:
            return json_response(resource.json(), status=201 if created else 200)
        headers = polling_headers(call, started, kind.namespace, body["location"])
        if started.plan.form == "location":
            return web.Response(status=202, headers=headers)
        return json_response(resource.json(), status=201 if created else 200, headers=headers)

    async def delete(self, call: ArmCall) -> web.Response:
        """Begin to delete a resource; one that does not exist is no error."""
        try:
            resource = _existing(call, "delete")
        except ArmError as error:
            if error.code != "ResourceNotFound":
                raise
            return web.Response(status=204)
        _check_idle(resource)
        group = _group(call)

        def remove() -> None:
            del group.resources[resource.kind.full_name.lower(), resource.name.lower()]

        started = self._start(call, resource, "Deleting", lambda: (204, None), then=remove)
        return self._accepted(call, resource, started, immediate=web.Response(status=200))

    async def act(self, call: ArmCall) -> web.Response:
        """Begin one of the actions of a type, such as to start a virtual machine."""
        kind = _kind(call, 5)
        action = next((name for name in kind.actions if name.lower() == call.path[8].lower()), None)
        if action is None:
            raise ArmError(404, "InvalidResourceType", f"'{kind.full_name}' has no action '{call.path[8]}'.")
        resource = _existing(call, f"{action}/action")
        _check_idle(resource)
        started = self._start(call, resource, "Updating", lambda: (204, None))
        return self._accepted(call, resource, started, immediate=web.Response(status=200))

    async def operation_status(self, call: ArmCall) -> web.Response:
        """Handle a request to the URL of ``Azure-AsyncOperation``."""
        call.require(f"{call.path[3]}/locations/operations/read")
        return status_response(call, self._clock.now())

    async def operation_result(self, call: ArmCall) -> web.Response:
        """Handle a request to the URL of ``Location``."""
        call.require(f"{call.path[3]}/locations/operationresults/read")
        return location_response(call, self._clock.now())

    def _start(
        self,
        call: ArmCall,
        resource: ArmResource,
        state: str,
        result: Callable[[], tuple[int, dict[str, Any] | None]],
        *,
        then: Callable[[], None] | None = None,
    ) -> ArmOperation | None:
        """Start an operation on a resource, or do at once what is to be immediate, and return ``None``."""
        plan = call.arm.started.plan

        def finish() -> None:
            resource.busy, resource.state = False, plan.outcome
            if then is not None and plan.failure is None:
                then()

        if plan.form == "immediate":
            if plan.failure is not None:
                raise ArmError(409, *plan.failure)
            finish()
            return None
        resource.busy, resource.state = True, state
        return call.arm.started.start(api_version=call.api_version, finish=finish, result=result)

    def _accepted(
        self, call: ArmCall, resource: ArmResource, started: ArmOperation | None, *, immediate: web.Response
    ) -> web.Response:
        if started is None:
            return immediate
        headers = polling_headers(call, started, resource.kind.namespace, resource.body["location"])
        # Without a header to follow, the state in the body is all that says it has not ended.
        return web.Response(status=202, headers=headers) if headers else json_response(resource.json(), status=202)


def _kind(call: ArmCall, at: int) -> ResourceType:
    namespace, name = call.path[at], call.path[at + 1]
    kind = RESOURCE_TYPES.get((namespace.lower(), name.lower()))
    if kind is not None:
        supported = frozenset(kind.api_versions)
        error = no_registered_provider(call.api_version, kind.name, supported, LOCATIONS[0])
        call.check_version(supported, error)
        return kind
    if all(namespace.lower() != known for known, _ in RESOURCE_TYPES):
        raise ArmError(404, "InvalidResourceNamespace", f"The resource namespace '{namespace}' is invalid.")
    message = (
        f"The resource type '{name}' could not be found in the namespace '{namespace}' for api version "
        f"'{call.api_version}'."
    )
    raise ArmError(404, "InvalidResourceType", message)


def _group(call: ArmCall) -> ResourceGroup:
    group = call.subscription.groups.get(call.path[3].lower())
    if group is None:
        raise group_not_found(call.path[3])
    if group.state == "Deleting" and call.request.method != "GET":
        message = f"The resource group '{group.name}' is in deprovisioning state and cannot perform this operation."
        raise ArmError(409, "ResourceGroupBeingDeleted", message)
    return group


def _existing(call: ArmCall, verb: str) -> ArmResource:
    kind = _kind(call, 5)
    call.require(f"{kind.full_name}/{verb}")
    resource = _group(call).resources.get((kind.full_name.lower(), call.path[7].lower()))
    if resource is None:
        raise resource_not_found(kind.full_name, call.path[7], group=call.path[3])
    return resource


def _entries(group: ResourceGroup, kind: ResourceType) -> list[dict[str, Any]]:
    return [resource.json() for _, resource in sorted(group.resources.items()) if resource.kind is kind]


def _check_idle(resource: ArmResource) -> None:
    if resource.busy:
        message = f"Another operation on '{resource.name}' is in progress: its state is '{resource.state}'."
        raise ArmError(409, "AnotherOperationInProgress", message)


def _read_resource(kind: ResourceType, name: str, body: dict[str, Any]) -> dict[str, Any]:
    if kind.names.fullmatch(name) is None:
        message = f"'{name}' is not a valid name for a resource of type '{kind.full_name}'."
        raise ArmError(400, "InvalidResourceName", message)
    location = body.get("location")
    if not isinstance(location, str) or not location:
        raise ArmError(400, "LocationRequired", "The location property is required for this definition.")
    if normalized_location(location) not in LOCATIONS:
        message = (
            f"The provided location '{location}' is not available for resource type '{kind.full_name}'. "
            f"List of available regions for the resource type is '{','.join(LOCATIONS)}'."
        )
        raise ArmError(400, "LocationNotAvailableForResourceType", message)
    for member in kind.required:
        if not body.get(member):
            message = f"Required parameter '{member}' is missing (null)."
            raise ArmError(400, "InvalidParameter", message)
    properties = body.get("properties") or {}
    if not isinstance(properties, dict):
        raise ArmError(400, "InvalidRequestContent", "'properties' must be a JSON object.")
    kept = {member: value for member, value in body.items() if member not in _READ_ONLY}
    writable = {member: value for member, value in properties.items() if member != "provisioningState"}
    return {**kept, "location": normalized_location(location), "properties": writable}
