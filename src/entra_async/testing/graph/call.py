"""One authorized request to Microsoft Graph, and the responses to it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec
from aiohttp import web

from entra_async.testing.graph.errors import bad_request, forbidden, unsupported_query
from entra_async.testing.graph.responses import JSON_TYPE
from entra_async.testing.odata.query import parse_query

if TYPE_CHECKING:
    from entra_async.testing.entra.tokens.access import Access
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("GraphCall", "Handler", "Routes")

_UNSUPPORTED: Final = frozenset({"$expand", "$orderby", "$search", "$skip"})


@dataclass(frozen=True, slots=True)
class GraphCall:
    """
    A request that was routed and authorized.

    Attributes:
        request: As it arrived.
        version: ``v1.0`` or ``beta``.
        path: The path's segments after the version.
        key: The object the path names, empty if none.
        access: The verified token.
    """

    request: IncomingRequest
    version: str
    path: tuple[str, ...]
    key: str
    access: Access

    @property
    def root(self) -> str:
        """The URL links begin with: what the client called us by, and the version."""
        return f"{self.request.scheme}://{self.request.host}/{self.version}"

    @property
    def eventual(self) -> bool:
        """Whether the client accepts the index store's consistency, as advanced queries need."""
        return self.request.headers.get("ConsistencyLevel", "").strip().lower() == "eventual"

    @property
    def preferences(self) -> frozenset[str]:
        """What the client prefers, such as ``return=minimal``, in lower case."""
        listed = ",".join(self.request.headers.getall("Prefer", ())).lower().split(",")
        return frozenset(preference.strip() for preference in listed)

    def require(self, roles: Collection[str]) -> None:
        """
        Check that the token holds one of these roles.

        Raises:
            GraphError: 403 if it holds none.
        """
        if self.access.roles.isdisjoint(roles):
            raise forbidden()

    def options(self, *known: str) -> dict[str, str]:
        """
        Return the query options.

        Args:
            known: The ones the operation takes.

        Raises:
            QueryError: If one is unknown or repeated.
            GraphError: 400 if one is real, but not served here.
        """
        options = parse_query(
            self.request.rel_url.raw_query_string, {*known, *_UNSUPPORTED}, prefix_optional=self.version == "beta"
        )
        if "$search" in options and not self.eventual:
            message = (
                "Request with $search query parameter only works through MSGraph with a special request header: "
                "'ConsistencyLevel: eventual'"
            )
            raise unsupported_query(message)
        if "$skip" in options:
            message = "'$skip' is not supported by the service."
            raise bad_request(message)
        for name in _UNSUPPORTED & options.keys():
            message = f"'{name}' is not supported by this emulator."
            raise bad_request(message)
        return options

    def json_response(
        self,
        body: bytearray | Mapping[str, Any],
        *,
        status: int = 200,
        location: str | None = None,
    ) -> web.Response:
        """
        Return a JSON response.

        Args:
            body: The JSON, or what to encode.
            status: The HTTP status.
            location: Where the created object is.
        """
        encoded = body if isinstance(body, bytearray) else msgspec.json.encode(body)
        headers = {"Content-Type": JSON_TYPE}
        if location is not None:
            headers["Location"] = location
        return web.Response(status=status, body=encoded, headers=headers)


Handler: TypeAlias = Callable[[GraphCall], Awaitable[web.Response]]
Routes: TypeAlias = Mapping[tuple[str, ...], Mapping[str, Handler]]
"""The handlers of a path, whose segments may be ``*`` for the key of an object, and a method."""
