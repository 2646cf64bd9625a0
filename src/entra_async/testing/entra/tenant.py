"""The tenant: its names, its apps and the APIs that its tokens can be requested for."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from entra_async.testing.entra.app_registrations import App
from entra_async.testing.entra.redirect_uris import check_registrable
from entra_async.testing.entra.resource_servers import TOKEN_EXCHANGE, ResourceServer
from entra_async.testing.entra.scopes import OIDC_SCOPES

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Unpack

    from cryptography import x509

    from entra_async.testing.entra.app_registrations import AppRegistration
    from entra_async.testing.entra.resource_servers import Permission

__all__ = ("ALIASES", "MSA_TENANT_ID", "Tenant")

MSA_TENANT_ID: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts."""

ALIASES: Final = frozenset({"common", "organizations", "consumers", MSA_TENANT_ID})
"""What a URL may name in place of a tenant, where the flow allows it."""


class Tenant:
    """
    One Entra ID tenant.

    Attributes:
        id: Its GUID.
        domain: Its verified domain, in lower case, which may be used in place of the GUID.
        app_roles: Every app role that an API of Microsoft's here defines.

    Args:
        domain: Its verified domain.
        resource_servers: The APIs of Microsoft's that tokens can be requested for; token exchange is one in any case.
    """

    def __init__(self, *, domain: str, resource_servers: Iterable[ResourceServer] = ()) -> None:
        self.id = str(uuid.uuid4())
        self.domain = domain.lower()
        self._resource_servers = (*resource_servers, TOKEN_EXCHANGE)
        self.app_roles = frozenset[str]().union(*(server.roles for server in self._resource_servers))
        self._apps: dict[str, App] = {}

    def is_named(self, segment: str) -> bool:
        """Return whether *segment* of a URL means this tenant: its GUID or its domain."""
        return segment.lower() in {self.id, self.domain}

    def find_app(self, client_id: str) -> App | None:
        """Return the app of that id, or ``None``."""
        return self._apps.get(client_id.lower())

    def find_resource(self, name: str) -> ResourceServer | None:
        """
        Return Microsoft's API of that name, or the one an app of the tenant exposes, or ``None``.

        Args:
            name: Identifier URI or application id, with or without one trailing slash: Entra ID finds it either way and
                puts the name as it was requested into the token; the API decides whether it likes that audience.
        """
        app = self.find_app(name.lower().removeprefix("api://"))
        if app is not None:
            return ResourceServer(app_id=app.client_id, identifiers=frozenset({app.identifier_uri}), scopes=app.exposes)
        plain = name.removesuffix("/").lower()
        known = (server for server in self._resource_servers if plain == server.app_id or plain in server.identifiers)
        return next(known, None)

    def register_app(self, *, certificates: Iterable[x509.Certificate] = (), **wanted: Unpack[AppRegistration]) -> App:
        """
        Register an app.

        Args:
            certificates: The public certificates it may sign in with.
            wanted: See :class:`AppRegistration`.

        Raises:
            ValueError: If no API defines one of the roles or delegated permissions, or a redirect URI cannot be
                registered.
        """
        roles = wanted.get("roles")
        granted = self.app_roles if roles is None else frozenset(roles)
        if unknown := granted - self.app_roles:
            message = f"No API here defines the app role(s) {', '.join(sorted(unknown))}."
            raise ValueError(message)
        app = App(
            client_id=str(uuid.uuid4()),
            object_id=str(uuid.uuid4()),
            roles=granted,
            certificates=list(certificates),
            public_client=wanted.get("public_client", False),
            disabled=wanted.get("disabled", False),
            name=wanted.get("name", "Emulated app"),
            multi_tenant=wanted.get("multi_tenant", True),
            redirect_uris=[check_registrable(uri) for uri in wanted.get("redirect_uris", ())],
            spa_redirect_uris=[check_registrable(uri) for uri in wanted.get("spa_redirect_uris", ())],
            delegated=self._permissions(wanted.get("delegated", ())),
            exposes=frozenset(wanted.get("exposes", ())),
            federated_credentials=list(wanted.get("federated_credentials", ())),
        )
        if wanted.get("admin_consent", False):
            app.admin_consent = app.delegated | {("", name) for name in OIDC_SCOPES}
        secret = wanted.get("secret")
        if secret is not None or not (app.public_client or app.certificates or app.federated_credentials):
            app.add_secret(secret, expires_on=wanted.get("secret_expires_on"))
        self._apps[app.client_id] = app
        return app

    def register_public_app(self) -> App:
        """Register a public client on ``http://localhost`` for users, with consent to what most apps request."""
        delegated = [
            *("User.Read", "User.ReadBasic.All", "User.Read.All", "Group.Read.All", "Mail.Read"),
            "https://management.azure.com/user_impersonation",
            "https://vault.azure.net/user_impersonation",
            "https://api.securitycenter.microsoft.com/Machine.Read",
            "https://api.security.microsoft.com/AdvancedHunting.Read",
        ]
        return self.register_app(
            public_client=True, redirect_uris=["http://localhost"], delegated=delegated, admin_consent=True
        )

    def _permissions(self, names: Iterable[str]) -> frozenset[Permission]:
        found = set()
        for name in names:
            audience, _, scope = name.rpartition("/")
            resource = self.find_resource(audience or "https://graph.microsoft.com")
            spelled = resource.find_scope(scope) if resource else None
            if resource is None or spelled is None:
                message = f"No API here defines the delegated permission {name!r}."
                raise ValueError(message)
            found.add((resource.app_id, spelled))
        return frozenset(found)
