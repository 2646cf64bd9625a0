"""The tenant: its names and its app registrations."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypedDict

from cryptography import x509

from entra_async.testing.entra.redirect_uris import check_registrable
from entra_async.testing.entra.resource_servers import TOKEN_EXCHANGE, ResourceServer
from entra_async.testing.entra.scopes import OIDC_SCOPES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from typing import Unpack

    from entra_async.testing.entra.resource_servers import Permission

__all__ = ("ALIASES", "MSA_TENANT_ID", "App", "AppRegistration", "AppSecret", "FederatedCredential", "Tenant")

MSA_TENANT_ID: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts."""

ALIASES: Final = frozenset({"common", "organizations", "consumers", MSA_TENANT_ID})
"""What a URL may name in place of a tenant, where the flow allows it."""


@dataclass(frozen=True, slots=True)
class AppSecret:
    """
    A client secret.

    Attributes:
        text: The secret itself.
        expires_on: Epoch seconds from which it is refused, or ``None`` for never.
    """

    text: str = field(repr=False)
    expires_on: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FederatedCredential:
    """
    The tokens of another issuer that an app may sign in with.

    Attributes:
        issuer: Their ``iss``, exactly.
        subject: Their ``sub``, exactly.
        audience: Their ``aud``, exactly.
    """

    issuer: str
    subject: str
    audience: str = "api://AzureADTokenExchange"


@dataclass(slots=True, kw_only=True)
class App:
    """
    An app registration and its service principal. Change it while the emulator runs to provoke a refusal.

    Attributes:
        client_id: Its application id, a GUID.
        object_id: Id of its service principal: ``oid`` and ``sub`` of its tokens.
        roles: The app roles it was granted.
        secrets: Its client secrets; several are valid at once, so that they can be rotated.
        certificates: The public certificates it may sign in with.
        public_client: Whether it is a public client, which may not hold credentials.
        disabled: Whether its sign-in is switched off.
        name: What the consent page calls it.
        multi_tenant: Whether it may be used through ``common`` and ``organizations``.
        redirect_uris: Where responses may be sent: web and native clients.
        spa_redirect_uris: The same for single-page applications.
        delegated: The delegated permissions its registration lists.
        admin_consent: The delegated permissions an administrator granted it for everybody.
        user_consent: By user id, what each user granted it; OpenID Connect's scopes are listed under their own name.
        exposes: The scopes of its own API, ``api://{client_id}``.
        federated_credentials: The tokens of other issuers it may sign in with.
    """

    client_id: str
    object_id: str
    roles: frozenset[str]
    secrets: list[AppSecret] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list, repr=False)
    public_client: bool = False
    disabled: bool = False
    name: str = "Emulated app"
    multi_tenant: bool = True
    redirect_uris: list[str] = field(default_factory=list)
    spa_redirect_uris: list[str] = field(default_factory=list)
    delegated: frozenset[Permission] = frozenset()
    admin_consent: frozenset[Permission] = frozenset()
    user_consent: dict[str, frozenset[Permission]] = field(default_factory=dict)
    exposes: frozenset[str] = frozenset()
    federated_credentials: list[FederatedCredential] = field(default_factory=list)

    def granted(self, user_id: str) -> frozenset[Permission]:
        """Return the delegated permissions it has for that user."""
        return self.admin_consent | self.user_consent.get(user_id, frozenset())

    def grant(self, user_id: str, permissions: Iterable[Permission]) -> None:
        """Record what a user consented to."""
        self.user_consent[user_id] = self.user_consent.get(user_id, frozenset()) | frozenset(permissions)

    @property
    def identifier_uri(self) -> str:
        """The name of its own API."""
        return f"api://{self.client_id}"

    @property
    def secret(self) -> str:
        """
        The newest client secret.

        Raises:
            LookupError: If the app has none.
        """
        if not self.secrets:
            message = f"App {self.client_id} has no client secret."
            raise LookupError(message)
        return self.secrets[-1].text

    def add_secret(self, text: str | None = None, *, expires_on: float | None = None) -> str:
        """
        Add a client secret beside those it has, and return it.

        Args:
            text: The secret; a random one when not given.
            expires_on: Epoch seconds from which it is refused.
        """
        text = text if text is not None else secrets.token_urlsafe(30)
        self.secrets.append(AppSecret(text, expires_on))
        return text


class AppRegistration(TypedDict, total=False):
    """
    What an app can be registered with.

    Attributes:
        roles: The app roles it is granted; every one there is when not given.
        secret: Its client secret; a random one when no credential is given and it is no public client.
        secret_expires_on: Epoch seconds on the emulator's clock from which the secret is refused.
        public_client: Make it a public client, which has no credential unless *secret* is given.
        disabled: Switch its sign-in off.
        name: What the consent page calls it.
        multi_tenant: Whether people may sign in to it through ``common`` and ``organizations``; they may unless False.
        redirect_uris: Where codes may be sent: web and native clients.
        spa_redirect_uris: The same for single-page applications.
        delegated: The permissions it lists for acting as a person, as scopes: ``User.Read`` is Graph's.
        admin_consent: Grant all of those for everybody; without it each person is asked.
        exposes: The scopes of its own API, ``api://{client_id}``, for on-behalf-of.
        federated_credentials: The tokens of other issuers it may sign in with.
    """

    roles: Collection[str] | None
    secret: str | None
    secret_expires_on: float | None
    public_client: bool
    disabled: bool
    name: str
    multi_tenant: bool
    redirect_uris: Iterable[str]
    spa_redirect_uris: Iterable[str]
    delegated: Iterable[str]
    admin_consent: bool
    exposes: Iterable[str]
    federated_credentials: Iterable[FederatedCredential]


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
        """Register a public client on ``http://localhost`` for people, with consent to what most apps ask for."""
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
