"""The tenant: its names, its app registrations, and the user with a password."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography import x509

from entra_async.testing.resources import ROLES

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

__all__ = ("ALIASES", "MSA_TENANT_ID", "App", "AppSecret", "Tenant", "User")

MSA_TENANT_ID: Final = "9188040d-6c67-4c5b-b112-36a304b66dad"
"""The tenant of personal Microsoft accounts."""

ALIASES: Final = frozenset({"common", "organizations", "consumers", MSA_TENANT_ID})
"""What may stand in a URL in place of a tenant, where the flow allows it."""


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
    """

    client_id: str
    object_id: str
    roles: frozenset[str]
    secrets: list[AppSecret] = field(default_factory=list)
    certificates: list[x509.Certificate] = field(default_factory=list, repr=False)
    public_client: bool = False
    disabled: bool = False

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


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A user who can sign in."""

    id: str
    user_principal_name: str
    password: str = field(repr=False)


class Tenant:
    """
    One Entra ID tenant.

    Attributes:
        id: Its GUID.
        domain: Its verified domain, which may be used in place of the GUID.
    """

    def __init__(self, *, domain: str) -> None:
        self.id = str(uuid.uuid4())
        self.domain = domain
        self._apps: dict[str, App] = {}

    def is_named(self, segment: str) -> bool:
        """Return whether *segment* of a URL means this tenant: its GUID or its domain."""
        return segment.lower() in {self.id, self.domain}

    def find_app(self, client_id: str) -> App | None:
        """Return the app of that id, or ``None``."""
        return self._apps.get(client_id.lower())

    def register_app(
        self,
        *,
        roles: Collection[str] | None = None,
        secret: str | None = None,
        secret_expires_on: float | None = None,
        certificates: Iterable[x509.Certificate] = (),
        public_client: bool = False,
        disabled: bool = False,
    ) -> App:
        """
        Register an app; :meth:`entra_async.testing.Emulator.register_app` says what the arguments mean.

        Raises:
            ValueError: If no API defines one of *roles*.
        """
        granted = ROLES if roles is None else frozenset(roles)
        if unknown := granted - ROLES:
            message = f"No API here defines the app role(s) {', '.join(sorted(unknown))}."
            raise ValueError(message)
        app = App(
            client_id=str(uuid.uuid4()),
            object_id=str(uuid.uuid4()),
            roles=granted,
            certificates=list(certificates),
            public_client=public_client,
            disabled=disabled,
        )
        if secret is not None or not (public_client or app.certificates):
            app.add_secret(secret, expires_on=secret_expires_on)
        self._apps[app.client_id] = app
        return app
