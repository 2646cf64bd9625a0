"""The token endpoint, v1.0 and v2.0: one token request in, one token response or error out."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiohttp import web

from entra_async.testing.entra.errors import AadstsError, no_store_headers
from entra_async.testing.entra.grants.token_request import TokenEndpointRequest, read_token_request
from entra_async.testing.entra.tenant import ALIASES

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("Grant", "TokenEndpoint")

Grant = Callable[[TokenEndpointRequest], Awaitable[dict[str, Any]]]


class TokenEndpoint:
    """
    Handles ``POST /{tenant}/oauth2/v2.0/token`` and ``POST /{tenant}/oauth2/token``.

    Args:
        tenant: The one tenant there is.
        clock: Dates each request.
        grants: The handler of each ``grant_type``.
    """

    def __init__(self, tenant: Tenant, clock: EmulatorClock, grants: Mapping[str, Grant]) -> None:
        self._tenant = tenant
        self._clock = clock
        self._grants = grants

    async def v1(self, request: web.Request) -> web.Response:
        """Handle a request to the older endpoint, which takes a ``resource``."""
        return await self._handle(request, version=1)

    async def v2(self, request: web.Request) -> web.Response:
        """Handle a request to the endpoint that takes a ``scope``."""
        return await self._handle(request, version=2)

    async def _handle(self, request: web.Request, *, version: int) -> web.Response:
        requested = await read_token_request(request, version=version, now=self._clock.now())
        if requested.tenant.lower() not in ALIASES and not self._tenant.is_named(requested.tenant):
            raise AadstsError(90002, tenant=requested.tenant)
        grant_type = requested.required("grant_type")
        grant = self._grants.get(grant_type)
        if grant is None:
            raise AadstsError(70003, grant_type=grant_type)
        body = await grant(requested)
        # Never a Retry-After here: MSAL would then give the next callers this same token.
        return web.json_response(body, headers=no_store_headers(str(uuid.uuid4())))
