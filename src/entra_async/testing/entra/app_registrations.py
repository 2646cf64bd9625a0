"""App registrations: what identifies an app, what it signs in with, and what it was granted."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

from cryptography import x509

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from entra_async.testing.entra.resource_servers import Permission

__all__ = ("App", "AppRegistration", "AppSecret", "FederatedCredential")


@dataclass(frozen=True, slots=True)
class AppSecret:
    """
    A client secret.

    Attributes:
        text: The secret itself.
        expires_on: Epoch seconds from which it is invalid, or ``None`` for never.
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
    An app registration and its service principal. Change it while the emulator runs to provoke an error.

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
            expires_on: Epoch seconds from which it is invalid.
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
        secret_expires_on: Epoch seconds on the emulator's clock from which the secret is invalid.
        public_client: Make it a public client, which has no credential unless *secret* is given.
        disabled: Switch its sign-in off.
        name: What the consent page calls it.
        multi_tenant: Whether users may sign in to it through ``common`` and ``organizations``; they may unless False.
        redirect_uris: Where codes may be sent: web and native clients.
        spa_redirect_uris: The same for single-page applications.
        delegated: The delegated permissions it lists, as scopes: ``User.Read`` is Graph's.
        admin_consent: Grant all of those for every user; without it each user has to consent.
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
