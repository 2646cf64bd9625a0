"""Entra ID as a web application: which path leads where, and how a refusal becomes an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from entra_async.testing.entra_errors import EntraRefusal
from entra_async.testing.metadata import Metadata
from entra_async.testing.token_endpoint import TokenEndpoint

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler

    from entra_async.testing.access_tokens import AccessTokenIssuer

__all__ = ("identity_application",)


def identity_application(tokens: AccessTokenIssuer) -> web.Application:
    """
    Return the sign-in service.

    Args:
        tokens: What issues its access tokens.
    """

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except EntraRefusal as refusal:
            return refusal.response(request, now=tokens.clock.now())

    endpoint = TokenEndpoint(tokens)
    metadata = Metadata(tokens)
    application = web.Application(middlewares=[refuse])
    application.add_routes(
        [
            # Every method leads to the token endpoint: it refuses all but POST in its own words.
            web.route("*", "/{tenant}/oauth2/v2.0/token", endpoint.v2),
            web.route("*", "/{tenant}/oauth2/token", endpoint.v1),
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", metadata.openid_v2),
            web.get("/{tenant}/.well-known/openid-configuration", metadata.openid_v1),
            web.get("/common/discovery/instance", metadata.instance_discovery),
            web.get("/{tenant}/discovery/v2.0/keys", metadata.keys),
            web.get("/{tenant}/discovery/keys", metadata.keys),
        ]
    )
    return application
