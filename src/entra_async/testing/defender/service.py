"""What both Defender services do with every request before its operation: token, limits, permissions."""

from __future__ import annotations

import uuid
from abc import ABC, abstractmethod
from dataclasses import dataclass
from email.utils import formatdate
from typing import TYPE_CHECKING
from urllib.parse import unquote

import msgspec
from aiohttp import web

from entra_async.testing.defender.responses import JSON_TYPE, DefenderError, as_defender_error, too_many
from entra_async.testing.entra.tokens.access import Access, Authorize, Unauthorized
from entra_async.testing.hunting.query import HuntingError
from entra_async.testing.odata.filter import FilterError
from entra_async.testing.odata.query import QueryError
from entra_async.testing.wire.headers import HeaderError, check_headers

if TYPE_CHECKING:
    from collections.abc import Collection

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.limits.throttle import RequestCost, Throttle

__all__ = ("DefenderService", "Permissions")


@dataclass(frozen=True, slots=True)
class Permissions:
    """
    What an operation takes: one of these.

    Attributes:
        roles: App roles.
        scopes: Delegated permissions.
    """

    roles: frozenset[str]
    scopes: frozenset[str]

    def check(self, access: Access) -> None:
        """
        Check that a token holds one of them.

        Raises:
            DefenderError: 403 if it holds none.
        """
        needed = self.roles if access.app_only else self.scopes
        if access.roles.isdisjoint(needed):
            kind = "application permissions" if access.app_only else "delegated permissions"
            message = f"The token has none of the required {kind} ({', '.join(sorted(needed))}) to access the resource."
            raise DefenderError(403, "Forbidden", message)


class DefenderService(ABC):
    """
    Authorizes, counts and routes a request.

    Args:
        name: The service, as the throttle knows it.
        audiences: What tokens may be made for.
        authorize: Judges the access token of each request.
        clock: Dates the responses.
        throttle: Consulted once per request.
    """

    def __init__(
        self, name: str, audiences: Collection[str], *, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
    ) -> None:
        self._name = name
        self._audiences = audiences
        self._authorize = authorize
        self._clock = clock
        self._throttle = throttle

    def application(self) -> web.Application:
        """Return the service as an aiohttp application."""
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._handle)
        return application

    @abstractmethod
    def cost(self, path: list[str]) -> RequestCost:
        """Return what a request to that path costs; the path is decoded, and as split at its slashes."""

    @abstractmethod
    async def route(self, request: web.Request, path: list[str], access: Access) -> web.Response:
        """Return the response to a request whose token is good."""

    async def _handle(self, request: web.Request) -> web.Response:
        try:
            check_headers(request)
            access = self._authorize(request, self._audiences)
            path = [unquote(segment) for segment in request.rel_url.raw_path.strip("/").split("/")]
            app_id = str(access.claims.get("appid") or access.claims.get("azp"))
            decision = self._throttle.take(self._name, app_id, self.cost(path))
            if not decision.allowed:
                raise too_many(decision)
            response = await self.route(request, path, access)
        except (DefenderError, HeaderError, Unauthorized, QueryError, FilterError, HuntingError) as reason:
            error = as_defender_error(reason)
            body = {"error": {"code": error.code, "message": error.message, "target": str(uuid.uuid4())}}
            headers = {"Content-Type": JSON_TYPE, **error.headers}
            response = web.Response(status=error.status, body=msgspec.json.encode(body), headers=headers)
        response.headers["Date"] = formatdate(self._clock.now(), usegmt=True)
        response.headers["OData-Version"] = "4.0"
        return response
