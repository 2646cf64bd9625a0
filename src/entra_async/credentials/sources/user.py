"""
The token source of a user: signed in once, for however many services.

The first token request signs the user in. It brings a refresh token, which is bound to no resource, so every other
request redeems that without user interaction (RFC 6749, section 6), many at a time. Only when Entra ID refuses it does
the user sign in again, and never twice at once.
"""

from __future__ import annotations

import copy
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext, suppress
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple, final

import msgspec

from entra_async.credentials.interactive.sign_in import RunningSignIn, StoredSignIn
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.refresh_tokens import RefreshTokenOwner
from entra_async.credentials.sources.token_response import token_from
from entra_async.errors import AuthenticationError, ConsentRequiredError, InteractionRequiredError
from entra_async.rules.sign_in.identifiers import check_tenant_id
from entra_async.rules.sign_in.user import identify_user
from entra_async.rules.tokens.claims import add_capabilities
from entra_async.tokens.token import Token
from entra_async.transport.msal import Application

__all__ = ("Grant", "UserTokenRequest", "UserTokenSource")

# Further errors that only a new sign-in resolves: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#error-codes-for-token-endpoint-errors
_SIGN_IN_AGAIN: Final = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})
# They live for 90 days without use: https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens
_LIFETIME_S: Final = 90 * 86_400.0
# A refresh token that another request, or another process, has renewed meanwhile is tried; then the user signs in.
_MAX_REDEMPTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class UserTokenRequest:
    """
    The parameters of a user's token request.

    Attributes:
        application: The application and its authority.
        scopes: Of one resource.
        claims: The claims challenge of the service or Entra ID, a JSON text, or ``None``.
    """

    application: Application
    scopes: tuple[str, ...]
    claims: str | None


class Grant(NamedTuple):
    """
    The result of a sign-in.

    Attributes:
        result: MSAL's result.
        requested_at: When the token was requested, in seconds since the epoch; the user may have taken long before.
    """

    result: dict[str, Any]
    requested_at: float


@final
class UserTokenSource:
    """
    Requests tokens of a user.

    Args:
        context: What the Session provides.
        client_id: The application.
        tenant_id: Where the user signs in, unless a request names another tenant.
        sign_in: Signs the user in; ``None`` if only the refresh token can do it.
        credential: Returns the application's credential for a token endpoint, as MSAL takes it; ``None`` for none.
        is_public: Whether it is a public client, whose refresh tokens another connection can redeem.
        refresh_token: One to begin with.
        reuse: Begin with one that the Session has for the same client and tenant, if there is one.
        user_name: Whose it must be to be reused; ``None`` for anybody's.
        interactive: Whether signing in needs user interaction, which a background renewal must not cause, and in which
            another user than the last time may sign in.
        stored_as: Identifies the provider in the Session's store, if the sign-in is to outlive the process.
    """

    def __init__(
        self,
        context: SignInContext,
        *,
        client_id: str,
        tenant_id: str,
        sign_in: Callable[[UserTokenRequest], Awaitable[Grant]] | None,
        credential: Callable[[str], Awaitable[str | dict[str, Any]]] | None = None,
        is_public: bool = True,
        refresh_token: str | None = None,
        reuse: bool = False,
        user_name: str | None = None,
        interactive: bool = True,
        stored_as: str | None = None,
    ) -> None:
        self._interactive = interactive
        self._stored_under = None if stored_as is None else f"refresh token {stored_as}"
        self._shared = context.shared if stored_as is not None else None
        self._context = context
        self._client_id = client_id
        self._tenant_id = tenant_id
        self._acquire = sign_in
        self._credential = credential
        self._shares = is_public
        self._reuse = reuse
        self._owner = RefreshTokenOwner(context.authority, client_id.lower(), tenant_id.lower())
        self._initial = refresh_token
        self._refresh_token: str | None = None
        self._running: RunningSignIn | None = None
        self._wanted_name = user_name
        # Who signed in. Once a user has, no other ever does: cached tokens are those of this account.
        self._signed_in = False
        self._user_id: str | None = None
        self._user_name: str | None = None
        # The sign-in in the store; whether it was seen there, and whether it is no longer.
        self._sign_in_id: str | None = None
        self._stored = False
        self._detached = False
        self._closed = False
        if refresh_token is not None:
            self._remember({"refresh_token": refresh_token})

    @property
    def client_id(self) -> str:
        """The application that its refresh tokens are bound to."""
        return self._client_id

    @property
    def tenant_id(self) -> str:
        """Where the user signed in."""
        return self._tenant_id

    @property
    def shareable(self) -> str | None:
        """The newest refresh token, a secret, if another connection could use it."""
        return self._refresh_token if self._shares else None

    async def sign_in_id(self) -> str | None:
        """Return the id of the sign-in; see :class:`entra_async.tokens.source.SupportsSignInId`."""
        if self._stored_under is None:
            return ""
        if self._sign_in_id is None:
            await self._load([])
        return None if self._detached else self._sign_in_id

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token of the user; see :class:`entra_async.tokens.source.TokenSource`."""
        request = await self._request(scopes, claims, tenant_id, enable_cae=enable_cae)
        return await self._send(request, may_sign_in=True)

    async def get_token_silently(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token without interaction; see :class:`entra_async.tokens.source.SupportsSilentRequest`."""
        request = await self._request(scopes, claims, tenant_id, enable_cae=enable_cae)
        return await self._send(request, may_sign_in=not self._interactive)

    async def _request(
        self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None, *, enable_cae: bool
    ) -> UserTokenRequest:
        tenant = check_tenant_id(tenant_id or self._tenant_id)
        return UserTokenRequest(await self._application(tenant, enable_cae=enable_cae), scopes, claims)

    async def _send(self, request: UserTokenRequest, *, may_sign_in: bool) -> Token:
        refused: list[str] = []
        refusal: AuthenticationError | None = None
        if self._sign_in_id is None:
            await self._load(refused)
        while True:
            refresh_token = self._find_refresh_token(refused)
            if refresh_token is not None and len(refused) < _MAX_REDEMPTIONS:
                try:
                    return await self._redeem(request, refresh_token)
                except AuthenticationError as error:
                    if not _requires_sign_in(error):
                        raise
                    refusal = error
                    refused.append(refresh_token)
                    # Another process may have renewed it meanwhile.
                    await self._load(refused)
            elif not may_sign_in:
                message = "The user has to sign in: there is no refresh token that Entra ID accepts."
                raise refusal or InteractionRequiredError(message, hint="Sign in again.")
            elif self._running is None or not self._running.is_of_this_loop():
                return await self._sign_in(request, refusal, refused)
            else:
                await self._wait(self._running)

    async def _application(self, tenant: str, *, enable_cae: bool) -> Application:
        application = Application(f"{self._context.authority}/{tenant}", self._client_id, enable_cae=enable_cae)
        if self._credential is None:
            return application
        credential = await self._credential(application.token_endpoint)
        return replace(application, credential=lambda: credential)

    def _find_refresh_token(self, refused: list[str]) -> str | None:
        borrowed: str | None = None
        if not self._signed_in and self._reuse:
            borrowed = self._context.refresh_tokens.newest(self._owner, user_name=self._wanted_name)
        # The initial one may still be valid when the stored one is not.
        found = (each for each in (self._refresh_token, self._initial, borrowed) if each not in (None, *refused))
        return next(found, None)

    def _remember(self, result: Mapping[str, Any]) -> None:
        if self._closed:
            return
        self._signed_in = True
        self._user_id = self._user_id or identify_user(result)
        self._user_name = (result.get("id_token_claims") or {}).get("preferred_username") or self._user_name
        refresh_token = result.get("refresh_token")
        if isinstance(refresh_token, str) and refresh_token:
            self._refresh_token = refresh_token
            if self._shares:
                self._context.refresh_tokens.put(self._owner, self, refresh_token, user_name=self._user_name)

    async def _read(self) -> StoredSignIn | None:
        """Return the stored sign-in."""
        if self._shared is None or self._stored_under is None or self._closed:
            return None
        value = await self._shared.read(self._stored_under)
        try:
            return None if value is None else msgspec.json.decode(value, type=StoredSignIn)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _is_own(self, stored: StoredSignIn) -> bool:
        # An initial refresh token identifies its user, and so does the name that the sign-in is stored under.
        same_user = self._user_id is not None and stored.user_id == self._user_id
        return self._initial is not None or not self._signed_in or same_user or stored.sign_in == self._sign_in_id

    def _attach(self, stored: StoredSignIn) -> None:
        self._sign_in_id = stored.sign_in
        self._stored, self._detached = True, False

    async def _load(self, refused: list[str]) -> bool:
        """Load the stored sign-in, if it is this user's; return whether it did."""
        stored = await self._read()
        if stored is None or not self._is_own(stored):
            return False
        if stored.refresh_token in refused:
            if self._shared is not None and self._stored_under is not None:
                await self._shared.delete(self._stored_under)
            return False
        self._attach(stored)
        self._user_id = self._user_id or stored.user_id
        self._user_name = self._user_name or stored.user_name
        self._remember({"refresh_token": stored.refresh_token})
        return True

    async def _save(self, *, new: bool) -> None:
        """Store the refresh token, unless the user has signed out there, or another one signed in."""
        if self._shared is None or self._stored_under is None or self._refresh_token is None:
            return
        stored = await self._read()
        if stored is not None and self._is_own(stored):
            self._attach(stored)
        elif not new and (stored is not None or self._stored):
            self._detached = True
            return
        self._sign_in_id = self._sign_in_id or uuid.uuid4().hex
        self._detached = False
        value = msgspec.json.encode(StoredSignIn(self._sign_in_id, self._refresh_token, self._user_id, self._user_name))
        await self._shared.write(self._stored_under, value, lifetime_s=_LIFETIME_S)
        if not self._stored:  # a store that fails raises nothing: what cannot be read was not written
            self._stored = await self._read() is not None

    def _check_user(self, result: Mapping[str, Any], *, continued: bool) -> None:
        """
        Check that tokens of two users do not mix under one account.

        Args:
            result: MSAL's.
            continued: Whether the result can only be of the same user, if it names one at all.
        """
        user_id = identify_user(result)
        if not self._signed_in or (continued and None in (user_id, self._user_id)):
            return
        if user_id is None or user_id != self._user_id:
            message = "Another user signed in than the one this connection belongs to, or the result does not say who."
            raise InteractionRequiredError(message, hint="Sign in as the same user, or connect anew.")

    def _forget(self) -> None:
        self._refresh_token = None
        self._context.refresh_tokens.remove(self._owner, self)

    async def _redeem(self, request: UserTokenRequest, refresh_token: str) -> Token:
        claims = add_capabilities(request.claims, enable_cae=request.application.enable_cae)
        requested_at = self._context.clock.now()
        own = refresh_token in (self._refresh_token, self._initial)
        result = await self._context.msal.run(
            request.application,
            # MSAL's method knows no claims, but passes on what else there is to send.
            lambda app: app.acquire_token_by_refresh_token(
                refresh_token, list(request.scopes), data={"claims": claims}
            ),
        )
        self._check_user(result, continued=own)
        token = token_from(result, requested_at=requested_at)
        self._remember({"refresh_token": refresh_token, **result})
        await self._save(new=self._sign_in_id is None)
        return token

    async def _sign_in(
        self, request: UserTokenRequest, refusal: AuthenticationError | None, refused: list[str]
    ) -> Token:
        if self._acquire is None:
            if refusal is not None:
                raise refusal
            message = "There is no refresh token left."
            raise InteractionRequiredError(message, hint="Sign in with Browser or DeviceCode.")
        running = self._running = RunningSignIn()
        try:
            if refusal is not None and refusal.claims is not None:
                request = replace(request, claims=refusal.claims)
            async with self._exclusive():
                # While this one waited for the lease, the user may have signed in to another process.
                if self._refresh_token in (None, *refused) and await self._load(refused):
                    refresh_token = self._find_refresh_token(refused)
                    if refresh_token is not None:
                        with suppress(AuthenticationError):
                            return await self._redeem(request, refresh_token)
                grant = await self._acquire(request)
                self._check_user(grant.result, continued=not self._interactive)
                token = token_from(grant.result, requested_at=grant.requested_at)
                self._forget()
                self._remember(grant.result)
                await self._save(new=True)
        except AuthenticationError as error:
            running.error = error
            raise
        finally:
            if self._running is running:
                self._running = None
            running.done.set()
        return token

    def _exclusive(self) -> AbstractAsyncContextManager[None]:
        if self._shared is None or self._stored_under is None:
            return nullcontext()
        return self._shared.exclusive(self._stored_under)

    async def _wait(self, running: RunningSignIn) -> None:
        await running.done.wait()
        # A user who declined once should not be prompted for every service in turn.
        if running.error is not None:
            raise copy.copy(running.error) from running.error

    async def sign_out(self) -> None:
        """Remove the refresh token from the store and the Session, so that the user signs in next time."""
        self._shares = False
        self._context.refresh_tokens.remove(self._owner, self)
        stored = await self._read()
        if stored is not None and self._is_own(stored) and self._shared is not None and self._stored_under is not None:
            await self._shared.delete(self._stored_under)

    async def aclose(self) -> None:
        """
        Forget the refresh token; the store keeps it.

        It is not revoked: Entra ID lets only its user and administrators do that.
        """
        self._closed = True
        self._forget()


def _requires_sign_in(error: AuthenticationError) -> bool:
    return isinstance(error, InteractionRequiredError | ConsentRequiredError) or error.error in _SIGN_IN_AGAIN
