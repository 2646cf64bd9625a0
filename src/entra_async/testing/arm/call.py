"""One authorized request to Azure Resource Manager: its path, query and body."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import msgspec
from aiohttp import web

from entra_async.testing.arm.errors import ArmError, forbidden
from entra_async.testing.odata.query import build_query
from entra_async.testing.wire.json_object import decode_object

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.arm.arm import Arm
    from entra_async.testing.arm.resources import Subscription
    from entra_async.testing.entra.tokens.access import Access

__all__ = ("ArmCall", "json_response", "split_path")

_JSON_TYPE: Final = "application/json; charset=utf-8"
# https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/azure-subscription-service-limits
_MAX_BODY_BYTES: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ArmCall:
    """
    A request that was routed.

    Attributes:
        request: As it arrived.
        arm: What the response is made from.
        access: The verified token.
        options: The query, decoded, ``api-version`` included.
        path: The path's segments, decoded. What is fixed of them is read in any case of letters.
    """

    request: web.Request
    arm: Arm
    access: Access
    options: Mapping[str, str]
    path: tuple[str, ...]

    @property
    def root(self) -> str:
        """The URL links begin with: the host as the client named it."""
        return f"{self.request.scheme}://{self.request.host}"

    @property
    def api_version(self) -> str:
        """The requested API version."""
        return self.options["api-version"]

    @property
    def object_id(self) -> str:
        """The object id of the caller."""
        return str(self.access.claims["oid"])

    @property
    def subscription(self) -> Subscription:
        """
        The subscription the path names.

        Raises:
            ArmError: 404 if it does not exist.
        """
        subscription = self.arm.subscriptions.get(self.path[1].lower())
        if subscription is None:
            message = f"The subscription '{self.path[1]}' could not be found."
            raise ArmError(404, "SubscriptionNotFound", message)
        return subscription

    def require(self, action: str) -> None:
        """
        Check that the caller may do this, such as ``Microsoft.Storage/storageAccounts/write``.

        Raises:
            ArmError: 403 without a role that allows it.
        """
        if not self.arm.allows(self.object_id, self.path[1].lower(), action):
            client_id = str(self.access.claims["appid"])
            raise forbidden(client_id=client_id, object_id=self.object_id, action=action, scope=self.request.path)

    def check_version(self, supported: frozenset[str], error: ArmError) -> None:
        """
        Check the requested API version.

        Raises:
            ArmError: *error*, if it is not supported.
        """
        if self.api_version not in supported:
            raise error

    def url(self, path: str, query: Mapping[str, str]) -> str:
        """Return a link to here."""
        return f"{self.root}{path}?{build_query(dict(query))}"

    async def read_json(self) -> dict[str, Any]:
        """
        Return the JSON object the request carries.

        Raises:
            ArmError: 400, 413 or 415 if it carries none.
        """
        if (self.request.content_length or 0) > _MAX_BODY_BYTES:
            raise ArmError(413, "RequestContentTooLarge", "The request content size exceeds the maximum size of 4 MB.")
        body = await self.request.read()
        if body and self.request.content_type != "application/json":
            message = (
                f"The content media type '{self.request.content_type}' is not supported. "
                "Only 'application/json' is supported."
            )
            raise ArmError(415, "UnsupportedMediaType", message)
        decoded = decode_object(body)
        if decoded is None:
            message = "The request content was invalid and could not be deserialized: a JSON object is expected."
            raise ArmError(400, "InvalidRequestContent", message)
        return decoded


def split_path(request: web.Request) -> tuple[str, ...]:
    """Return the segments of the path, decoded; one trailing slash does not matter."""
    return tuple(unquote(segment) for segment in request.rel_url.raw_path.removesuffix("/").split("/")[1:])


def json_response(
    body: Mapping[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return a response that carries JSON."""
    return web.Response(
        status=status, body=msgspec.json.encode(body), headers={"Content-Type": _JSON_TYPE, **(headers or {})}
    )
