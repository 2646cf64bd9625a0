"""
The emulated Azure Resource Manager: subscriptions, resource groups, storage accounts and virtual machines.

Sources:
    https://learn.microsoft.com/en-us/rest/api/azure/
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
    https://github.com/cloud-and-ai-microsoft/resource-provider-contract/blob/master/v1.0/common-api-details.md
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from aiohttp import web

from entra_async.testing.arm.call import ArmCall, json_response, split_path
from entra_async.testing.arm.errors import ArmError, throttled, unauthorized
from entra_async.testing.arm.groups import ArmGroups
from entra_async.testing.arm.limits import request_kind
from entra_async.testing.arm.pages import ArmPages
from entra_async.testing.arm.providers import ArmProviders
from entra_async.testing.entra.resource_servers import ResourceServer
from entra_async.testing.entra.tokens.access import Access, Authorize, Unauthorized
from entra_async.testing.odata.query import QueryError, parse_query
from entra_async.testing.wire.headers import HeaderError, check_headers

if TYPE_CHECKING:
    from entra_async.testing.arm.arm import Arm
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.limits.throttle import Throttle

__all__ = ("AZURE_RESOURCE_MANAGER", "arm_application")

Handler = Callable[[ArmCall], Awaitable[web.Response]]

AZURE_RESOURCE_MANAGER: Final = ResourceServer(
    app_id="797f4846-ba00-4fd7-ba43-dac1f8f63013",
    identifiers=frozenset({"https://management.azure.com", "https://management.core.windows.net"}),
    scopes=frozenset({"user_impersonation"}),
)
"""Azure Resource Manager as Entra ID knows it."""

_GUID: Final = re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}")
_OPTIONS: Final = frozenset({"api-version", "$top", "$skiptoken", "monitor", "t", "c", "h"})


def arm_application(
    *, arm: Arm, tenant_id: str, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
) -> web.Application:
    """
    Return Azure Resource Manager as an aiohttp application.

    Args:
        arm: The resources, and what tests change while it runs.
        tenant_id: The tenant the subscriptions trust.
        authorize: Judges the access token of each request.
        clock: Dates the responses, ages page tokens and ends operations.
        throttle: Consulted once per request, for the service ``"azure"``, besides Azure's own limits.
    """
    application = web.Application(client_max_size=8 * 1024 * 1024)  # what is too large gets an error of ARM's
    service = _ResourceManager(arm, tenant_id, authorize, clock, throttle)
    application.router.add_route("*", "/{path:.*}", service.handle)
    return application


class _ResourceManager:
    """Routes requests, and adds the headers that every response has."""

    def __init__(
        self, arm: Arm, tenant_id: str, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
    ) -> None:
        self._arm = arm
        self._tenant_id = tenant_id
        self._authorize = authorize
        self._clock = clock
        self._throttle = throttle
        pages = ArmPages(clock)
        groups = ArmGroups(pages, clock, tenant_id)
        providers = ArmProviders(pages, clock)
        # "*" stands for a name; fixed segments are in lower case.
        self._routes: dict[tuple[str, ...], dict[str, Handler]] = {
            ("subscriptions",): {"GET": groups.list_subscriptions},
            ("subscriptions", "*"): {"GET": groups.get_subscription},
            ("subscriptions", "*", "resourcegroups"): {"GET": groups.list},
            ("subscriptions", "*", "resourcegroups", "*"): {
                "GET": groups.get,
                "HEAD": groups.check_existence,
                "PUT": groups.put,
                "DELETE": groups.delete,
            },
            ("subscriptions", "*", "operationresults", "*"): {"GET": groups.deletion},
        }
        operations = ("subscriptions", "*", "providers", "*", "locations", "*")
        self._routes[*operations, "operations", "*"] = {"GET": providers.operation_status}
        self._routes[*operations, "operationresults", "*"] = {"GET": providers.operation_result}
        self._routes["subscriptions", "*", "providers", "*", "*"] = {"GET": providers.list_in_subscription}
        resources = ("subscriptions", "*", "resourcegroups", "*", "providers", "*", "*")
        self._routes[resources] = {"GET": providers.list}
        self._routes[*resources, "*"] = {"GET": providers.get, "PUT": providers.put, "DELETE": providers.delete}
        self._routes[*resources, "*", "*"] = {"POST": providers.act}

    async def handle(self, request: web.Request) -> web.Response:
        """Handle any request."""
        now = self._clock.now()
        limits: dict[str, str] = {}
        try:
            response = await self._respond(request, limits)
        except (ArmError, HeaderError, Unauthorized, QueryError) as reason:
            error = self._as_arm_error(reason)
            response = json_response(error.body, status=error.status, headers=error.headers)
        request_id = str(uuid.uuid4())
        moment = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
        response.headers.update(
            {
                "Cache-Control": "no-cache",
                "Date": formatdate(now, usegmt=True),
                "x-ms-request-id": request_id,
                "x-ms-correlation-request-id": request.headers.get("x-ms-correlation-request-id", request_id),
                "x-ms-routing-request-id": f"EMULATOR:{moment}:{request_id}",
                **limits,
            }
        )
        if "x-ms-client-request-id" in request.headers:
            response.headers["x-ms-client-request-id"] = request.headers["x-ms-client-request-id"]
        return response

    async def _respond(self, request: web.Request, limits: dict[str, str]) -> web.Response:
        options = parse_query(request.rel_url.raw_query_string, _OPTIONS)
        if not options.get("api-version"):  # looked at before the token
            message = "The api-version query parameter (?api-version=) is required for all requests."
            raise ArmError(400, "MissingApiVersionParameter", message)
        check_headers(request)
        access = self._authorize(request, AZURE_RESOURCE_MANAGER.audiences)
        if not access.app_only and "user_impersonation" not in access.roles:
            raise ArmError(403, "AuthorizationFailed", "The token lacks the scope 'user_impersonation'.")
        path = split_path(request)
        subscription_id = path[1].lower() if len(path) > 1 else None
        if subscription_id is not None and _GUID.fullmatch(subscription_id) is None:
            message = f"The provided subscription identifier '{path[1]}' is malformed or invalid."
            raise ArmError(400, "InvalidSubscriptionId", message)
        handler = self._find(request, path)
        self._check_limits(request, access, subscription_id, limits)
        self._arm.started.complete_due()
        return await handler(ArmCall(request=request, arm=self._arm, access=access, options=options, path=path))

    def _find(self, request: web.Request, path: tuple[str, ...]) -> Handler:
        for route, handlers in self._routes.items():
            if len(route) == len(path) and all(
                segment if fixed == "*" else segment.lower() == fixed
                for fixed, segment in zip(route, path, strict=True)
            ):
                if request.method not in handlers:
                    message = f"The requested resource does not support http method '{request.method}'."
                    raise ArmError(405, "MethodNotAllowed", message, headers={"Allow": ", ".join(handlers)})
                return handlers[request.method]
        message = f"No route of the emulator's Azure Resource Manager matches '{request.rel_url.raw_path}'."
        raise ArmError(404, "NotFound", message)

    def _check_limits(
        self, request: web.Request, access: Access, subscription_id: str | None, limits: dict[str, str]
    ) -> None:
        kind, object_id = request_kind(request.method), str(access.claims["oid"])
        wait_s = self._arm.limits.take(object_id, subscription_id, kind)
        limits.update(self._arm.limits.headers(object_id, subscription_id, kind))
        retry_after = None if wait_s is None else str(wait_s)
        if retry_after is None:
            decision = self._throttle.take("azure", str(access.claims["appid"]))
            if decision.allowed:
                return
            retry_after = decision.retry_after
        raise throttled(retry_after, kind=kind, subscription_id=subscription_id, object_id=object_id)

    def _as_arm_error(self, reason: Exception) -> ArmError:
        match reason:
            case ArmError():
                return reason
            case HeaderError():
                return ArmError(reason.status, reason.code, reason.message)
            case Unauthorized():
                return unauthorized(reason, self._tenant_id)
            case QueryError():
                return ArmError(400, "InvalidQueryParameter", str(reason))
            case _:
                raise reason
