"""The APIs that tokens can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from entra_async.testing.defender.endpoint import DEFENDER_ROLES, DEFENDER_SCOPES
from entra_async.testing.defender.xdr import XDR_ROLES, XDR_SCOPES
from entra_async.testing.graph.application import GRAPH_ROLES

__all__ = ("RESOURCES", "ROLES", "Resource", "find_resource")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """
    One API as Entra ID knows it.

    Attributes:
        app_id: Its application id, a GUID; may stand in for an identifier URI.
        identifiers: Its identifier URIs, without trailing slash.
        roles: The app roles it defines.
        scopes: The delegated permissions a user can consent to.
        admin_scopes: The delegated permissions only an administrator can consent to.
    """

    app_id: str
    identifiers: frozenset[str]
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    admin_scopes: frozenset[str] = frozenset()

    def find_scope(self, name: str) -> str | None:
        """Return the delegated permission of that name in its right spelling, or ``None``."""
        return next((scope for scope in self.scopes | self.admin_scopes if scope.lower() == name.lower()), None)


_USER_IMPERSONATION: Final = frozenset({"user_impersonation"})

# The application ids are the ones Microsoft's services have in every tenant:
# https://learn.microsoft.com/en-us/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in
RESOURCES: Final = (
    Resource(
        app_id="00000003-0000-0000-c000-000000000000",
        identifiers=frozenset({"https://graph.microsoft.com"}),
        roles=GRAPH_ROLES,
        # https://learn.microsoft.com/en-us/graph/permissions-reference (admin consent required)
        scopes=frozenset({"User.Read", "User.ReadWrite", "User.ReadBasic.All", "Files.Read", "Files.ReadWrite"})
        | {"Mail.Read", "Mail.ReadWrite", "Mail.Send", "Calendars.Read", "Calendars.ReadWrite", "People.Read"}
        | {"Tasks.Read", "Tasks.ReadWrite"},
        admin_scopes=GRAPH_ROLES,
    ),
    Resource(
        app_id="797f4846-ba00-4fd7-ba43-dac1f8f63013",
        identifiers=frozenset({"https://management.azure.com", "https://management.core.windows.net"}),
        scopes=_USER_IMPERSONATION,
    ),
    Resource(
        app_id="cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
        identifiers=frozenset({"https://vault.azure.net"}),
        scopes=_USER_IMPERSONATION,
    ),
    Resource(
        app_id="fc780465-2017-40d4-a0c5-307022471b92",
        identifiers=frozenset({"https://api.securitycenter.microsoft.com"}),
        roles=DEFENDER_ROLES,
        scopes=DEFENDER_SCOPES,
    ),
    Resource(
        app_id="8ee8fdad-f234-4243-8f3b-15c294843740",
        identifiers=frozenset({"https://api.security.microsoft.com", "https://security.microsoft.com/mtp"}),
        roles=XDR_ROLES,
        scopes=XDR_SCOPES,
    ),
    Resource(
        # What a managed identity asks a token for that another app is to sign in with.
        app_id="fb60f99c-7a34-4190-8149-302f77469936",
        identifiers=frozenset({"api://azureadtokenexchange"}),
    ),
)
"""Microsoft Graph, Azure Resource Manager, Key Vault, Defender for Endpoint, Defender XDR, and token exchange."""

ROLES: Final = frozenset[str]().union(*(resource.roles for resource in RESOURCES))
"""Every app role that any of them defines."""


def find_resource(name: str) -> Resource | None:
    """
    Return the API of that name, or ``None``.

    Args:
        name: Identifier URI or application id, with or without one trailing slash: Entra ID finds it either way and
            puts the name as it was asked for into the token; the API decides whether it likes that audience.
    """
    plain = name.removesuffix("/").lower()
    return next((found for found in RESOURCES if plain == found.app_id or plain in found.identifiers), None)
