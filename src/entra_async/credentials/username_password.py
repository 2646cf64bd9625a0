"""Sign in as a user, with the user's name and password."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.user import Grant, UserTokenRequest, UserTokenSource
from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.identifiers import check_client_id, check_secret, check_tenant_id
from entra_async.rules.sign_in.user import check_scopes, check_user_name
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource

__all__ = ("UsernamePassword",)

_UNSUPPORTED_TENANTS: Final = ("common", "consumers")


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class UsernamePassword:
    """
    A user's name and password (the resource owner password credentials grant).

    Deprecated by Microsoft, and left out of OAuth 2.1: the program sees the password, multifactor authentication and
    conditional access cannot be satisfied, and accounts that are federated, personal or without a password cannot sign
    in. Use :class:`Browser` or :class:`DeviceCode`; for a job without a user, an application's own identity.

    The password is sent for the first service, and again when its refresh token is refused.

    Attributes:
        client_id: GUID of the application, which has to allow public client flows.
        tenant_id: GUID of the tenant, one of its domains, or ``organizations``.
        username: The user principal name.
        password: The password.
        scopes: Delegated permissions to request; everything granted if empty.

    Raises:
        ConfigurationError: If a value is missing or malformed. Nothing is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth-ropc
    """

    client_id: str
    tenant_id: str
    username: str
    password: str = field(repr=False)
    scopes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        _check_tenant_id(self.tenant_id)
        check_user_name(self.username, field="username")
        check_secret(self.password, field="password")
        if self.password != self.password.strip(" "):
            message = "password begins or ends with a blank, which Entra ID does not support for this flow."
            raise ConfigurationError(message, field="password", hint="Sign in with Browser, or change the password.")
        object.__setattr__(self, "scopes", check_scopes(self.scopes))

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""

        async def sign_in(request: UserTokenRequest) -> Grant:
            _check_tenant_id(request.application.authority.rpartition("/")[2])
            requested_at = context.clock.now()
            result = await context.msal.run(
                request.application,
                lambda app: app.acquire_token_by_username_password(
                    self.username, self.password, list(request.scopes), claims_challenge=request.claims
                ),
            )
            return Grant(result, requested_at)

        return UserTokenSource(
            context,
            client_id=self.client_id,
            tenant_id=self.tenant_id,
            interactive=False,
            sign_in=sign_in,
            credential=_no_credential,
        )


async def _no_credential(_: str) -> str:
    # MSAL warns of this flow in public clients, and a warning cannot be silenced in one thread alone. It does not warn
    # in an application that has a credential; an empty one is not sent.
    return ""


def _check_tenant_id(tenant_id: object) -> None:
    if check_tenant_id(tenant_id) in _UNSUPPORTED_TENANTS:
        message = f"tenant_id is {tenant_id!r}, but a password is valid for work and school accounts only."
        hint = "Use the tenant's GUID, one of its domains, or 'organizations'."
        raise ConfigurationError(message, field="tenant_id", hint=hint)
