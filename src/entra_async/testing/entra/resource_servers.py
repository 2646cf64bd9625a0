"""The APIs that access tokens can be requested for: each service describes its own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

__all__ = ("TOKEN_EXCHANGE", "Permission", "ResourceServer")

Permission = tuple[str, str]
"""A resource server's application id, and the name of one of its delegated permissions."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceServer:
    """
    One API as Entra ID knows it: a resource server of OAuth (RFC 6749, section 1.1).

    Microsoft's own have the same application ids in every tenant:
    https://learn.microsoft.com/en-us/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in

    Attributes:
        app_id: Its application id, a GUID; may be used in place of an identifier URI.
        identifiers: Its identifier URIs, without trailing slash.
        roles: The app roles it defines.
        scopes: The delegated permissions a user can consent to.
        admin_scopes: The delegated permissions only an administrator can consent to.
        audiences: Every ``aud`` it takes: its identifier URIs, with and without trailing slash, and its application id.
    """

    app_id: str
    identifiers: frozenset[str]
    roles: frozenset[str] = frozenset()
    scopes: frozenset[str] = frozenset()
    admin_scopes: frozenset[str] = frozenset()
    audiences: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Compute the audiences once: every request to the API looks at them."""
        slashed = {f"{identifier}/" for identifier in self.identifiers}
        object.__setattr__(self, "audiences", self.identifiers | slashed | {self.app_id})

    def find_scope(self, name: str) -> str | None:
        """Return the delegated permission of that name in its right spelling, or ``None``."""
        return next((scope for scope in self.scopes | self.admin_scopes if scope.lower() == name.lower()), None)


TOKEN_EXCHANGE: Final = ResourceServer(
    app_id="fb60f99c-7a34-4190-8149-302f77469936", identifiers=frozenset({"api://azureadtokenexchange"})
)
"""What a managed identity requests a token for that another app is to sign in with."""
