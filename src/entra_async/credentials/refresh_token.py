"""Sign in as a user, with a refresh token of an earlier sign-in."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol, Self

from entra_async.credentials.provider import SignInContext
from entra_async.credentials.registry import OpenProvider
from entra_async.credentials.sources.store_name import stored_as
from entra_async.credentials.sources.user import UserTokenSource
from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.identifiers import check_client_id, check_secret, check_tenant_id
from entra_async.rules.sign_in.user import check_scopes
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource

__all__ = ("RefreshToken", "SignedIn")


class SignedIn(Protocol):
    """A signed-in connection: a :class:`entra_async.connection.Connection`."""

    @property
    def account(self) -> OpenProvider:
        """The account that it is signed in with."""
        ...


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class RefreshToken:
    """
    A refresh token of a public client. It is valid for every service that the user and the application may use.

    Entra ID returns a newer one each time, which replaces it. When it is refused, because it was revoked, expired or a
    policy requires user interaction, that is an :exc:`~entra_async.errors.InteractionRequiredError`.

    Attributes:
        client_id: GUID of the application that got it: no other one can use it.
        tenant_id: GUID of the tenant, one of its domains, or ``organizations``, ``common`` or ``consumers``.
        refresh_token: The refresh token.
        scopes: Delegated permissions to request; everything granted if empty.

    Raises:
        ConfigurationError: If a value is missing or malformed. Nothing is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens
        RFC 6749, section 6
    """

    client_id: str
    tenant_id: str
    refresh_token: str = field(repr=False)
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_tenant_id(self.tenant_id)
        check_secret(self.refresh_token, field="refresh_token")
        object.__setattr__(self, "scopes", check_scopes(self.scopes))

    @classmethod
    def of(cls, connection: SignedIn, *, scopes: Iterable[str] = ()) -> Self:
        """
        Return a provider with the current refresh token of *connection*, for use in another Session.

        In the same Session it is not needed: there one sign-in serves every service.

        Args:
            connection: Signed in with :class:`Browser`, :class:`DeviceCode`, :class:`UsernamePassword` or
                :class:`RefreshToken`.
            scopes: Delegated permissions to request; everything granted if empty.

        Raises:
            ConfigurationError: If it holds no refresh token of a public client.
        """
        source = connection.account.source
        refresh_token = source.shareable if isinstance(source, UserTokenSource) else None
        if not isinstance(source, UserTokenSource) or refresh_token is None:
            message = f"{connection!r} holds no refresh token that could be used elsewhere."
            hint = "Give a connection that a user signed in to with Browser or DeviceCode, and that is still open."
            raise ConfigurationError(message, field="connection", hint=hint)
        return cls(
            client_id=source.client_id,
            tenant_id=source.tenant_id,
            refresh_token=refresh_token,
            scopes=tuple(scopes),
        )

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return UserTokenSource(
            context,
            client_id=self.client_id,
            tenant_id=self.tenant_id,
            sign_in=None,
            refresh_token=self.refresh_token,
            stored_as=stored_as(self, context.authority),
        )
