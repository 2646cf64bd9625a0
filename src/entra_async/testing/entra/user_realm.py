"""
How the users of a domain sign in: with Entra ID itself, or not known here.

Source:
    The response msal and azure-identity read, as ``login.microsoftonline.com`` gives it for api-version 1.0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from entra_async.testing.entra.errors import AadstsError

if TYPE_CHECKING:
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("UserRealm",)


class UserRealm:
    """Handles ``GET /common/userrealm/{user}``."""

    def __init__(self, tenant: Tenant) -> None:
        self._tenant = tenant

    async def handle(self, request: web.Request) -> web.Response:
        """Decide by the domain alone: whether the user exists is not shown before the password is right."""
        if request.query.get("api-version") != "1.0":
            raise AadstsError(900144, parameter="api-version")
        _, _, domain = request.match_info["user"].rpartition("@")
        if domain.lower() != self._tenant.domain:
            return web.json_response({"ver": "1.0", "account_type": "Unknown", "cloud_instance_name": "emulator"})
        return web.json_response(
            {
                "ver": "1.0",
                "account_type": "Managed",
                "domain_name": domain.lower(),
                "cloud_instance_name": "emulator",
                "cloud_audience_urn": "urn:federation:MicrosoftOnline",
            }
        )
