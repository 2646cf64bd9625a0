"""
The token source of a person: signed in once, for however many services.

The first question asks the person, or whatever stands for one. It brings a refresh token, which is bound to no
resource, so every other question is answered with it in silence (RFC 6749, section 6), many at a time. Only when
Entra ID refuses it is the person asked again, and never twice at once.
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

# What else says that only a new sign-in helps: https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow#error-codes-for-token-endpoint-errors
_SIGN_IN_AGAIN: Final = frozenset({"invalid_grant", "interaction_required", "login_required", "consent_required"})
# A refresh token that another question, or another process, has renewed meanwhile is tried; then the person is asked.
# They live for 90 days without use: https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens
_LIFE_S: Final = 90 * 86_400.0
_MAX_REDEMPTIONS: Final = 3


@dataclass(frozen=True, slots=True)
class UserTokenRequest:
    """
    What a sign-in is to bring.

    Attributes:
        application: Who asks, and where.
        scopes: Of one resource.
        claims: What the service or Entra ID demanded beyond that, as a JSON text.
    """

    application: Application
    scopes: tuple[str, ...]
    claims: str | None


class Grant(NamedTuple):
    """
    What a sign-in brought.

    Attributes:
        result: MSAL's result.
        asked_at: When the token was asked for, in seconds since the epoch; the person may have taken long before.
    """

    result: dict[str, Any]
    asked_at: float


@final
class UserTokenSource:
    """
    Asks for tokens of a person.

    Args:
        context: What the Session lends.
        client_id: The application.
        tenant_id: Where the person signs in, unless a question names another tenant.
        sign_in: Signs the person in; ``None`` if only the refresh token can do it.
        credential: Gives the application's own for a token endpoint, as MSAL takes it; ``None`` if it has none.
        is_public: Whether a refresh token is all that another connection needs.
        refresh_token: One to begin with.
        reuse: Begin with one that the Session holds for the same client and tenant, if there is one.
        user_name: Whose it must be to be reused; ``None`` for anybody's.
        disturbs: Whether signing in asks somebody, which a renewal in the background must not do, and who may be
            another person than the last time.
        stored_as: Stands for the provider in the Session's store, if the sign-in is to outlive the process.
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
        disturbs: bool = True,
        stored_as: str | None = None,
    ) -> None:
        self._disturbs = disturbs
        self._stored_under = None if stored_as is None else f"refresh token {stored_as}"
        self._shared = context.shared if stored_as is not None else None
        self._context = context
        self._client_id = client_id
        self._tenant_id = tenant_id
        self._ask = sign_in
        self._credential = credential
        self._lends = is_public
        self._reuse = reuse
        self._holder = RefreshTokenOwner(context.authority, client_id.lower(), tenant_id.lower())
        self._given = refresh_token
        self._refresh_token: str | None = None
        self._running: RunningSignIn | None = None
        self._wanted_name = user_name
        # Who signed in. Once somebody has, nobody else ever does: tokens are handed out under this account.
        self._taken = False
        self._person: str | None = None
        self._user_name: str | None = None
        # The sign-in in the store; whether it was seen there, and whether it is no longer.
        self._sign_in_id: str | None = None
        self._stored = False
        self._parted = False
        self._closed = False
        if refresh_token is not None:
            self._keep({"refresh_token": refresh_token})

    @property
    def client_id(self) -> str:
        """The application that its refresh tokens are bound to."""
        return self._client_id

    @property
    def tenant_id(self) -> str:
        """Where the person signed in."""
        return self._tenant_id

    @property
    def shareable(self) -> str | None:
        """The newest refresh token, a secret, if another connection could use it."""
        return self._refresh_token if self._lends else None

    async def sign_in_id(self) -> str | None:
        """Return what stands for the sign-in; see :class:`entra_async.tokens.source.PersonalSource`."""
        if self._stored_under is None:
            return ""
        if self._sign_in_id is None:
            await self._recall([])
        return None if self._parted else self._sign_in_id

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Ask for a token of the person; see :class:`entra_async.tokens.source.TokenSource`."""
        question = await self._question(scopes, claims, tenant_id, enable_cae=enable_cae)
        return await self._answer(question, may_ask=True)

    async def renew(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Ask for a token, but nobody; see :class:`entra_async.tokens.source.RenewingSource`."""
        question = await self._question(scopes, claims, tenant_id, enable_cae=enable_cae)
        return await self._answer(question, may_ask=not self._disturbs)

    async def _question(
        self, scopes: tuple[str, ...], claims: str | None, tenant_id: str | None, *, enable_cae: bool
    ) -> UserTokenRequest:
        tenant = check_tenant_id(tenant_id or self._tenant_id)
        return UserTokenRequest(await self._application(tenant, enable_cae=enable_cae), scopes, claims)

    async def _answer(self, question: UserTokenRequest, *, may_ask: bool) -> Token:
        refused: list[str] = []
        refusal: AuthenticationError | None = None
        if self._sign_in_id is None:
            await self._recall(refused)
        while True:
            held = self._held(refused)
            if held is not None and len(refused) < _MAX_REDEMPTIONS:
                try:
                    return await self._redeem(question, held)
                except AuthenticationError as error:
                    if not _asks_for_sign_in(error):
                        raise
                    refusal = error
                    refused.append(held)
                    # Another process may have renewed it meanwhile.
                    await self._recall(refused)
            elif not may_ask:
                message = "Only the person could help: there is no refresh token that Entra ID takes."
                raise refusal or InteractionRequiredError(message, hint="Sign in again.")
            elif self._running is None or not self._running.goes_on():
                return await self._sign_in(question, refusal, refused)
            else:
                await self._wait(self._running)

    async def _application(self, tenant: str, *, enable_cae: bool) -> Application:
        application = Application(f"{self._context.authority}/{tenant}", self._client_id, enable_cae=enable_cae)
        if self._credential is None:
            return application
        credential = await self._credential(application.token_endpoint)
        return replace(application, credential=lambda: credential)

    def _held(self, refused: list[str]) -> str | None:
        borrowed: str | None = None
        if not self._taken and self._reuse:
            borrowed = self._context.refresh_tokens.newest(self._holder, user_name=self._wanted_name)
        # What was given to begin with may still be good when what the store held is not.
        found = (each for each in (self._refresh_token, self._given, borrowed) if each not in (None, *refused))
        return next(found, None)

    def _keep(self, result: Mapping[str, Any]) -> None:
        if self._closed:
            return
        self._taken = True
        self._person = self._person or identify_user(result)
        self._user_name = (result.get("id_token_claims") or {}).get("preferred_username") or self._user_name
        refresh_token = result.get("refresh_token")
        if isinstance(refresh_token, str) and refresh_token:
            self._refresh_token = refresh_token
            if self._lends:
                self._context.refresh_tokens.keep(self._holder, self, refresh_token, user_name=self._user_name)

    async def _look(self) -> StoredSignIn | None:
        """Return the sign-in that the store holds."""
        if self._shared is None or self._stored_under is None or self._closed:
            return None
        value = await self._shared.read(self._stored_under)
        try:
            return None if value is None else msgspec.json.decode(value, type=StoredSignIn)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _is_ours(self, kept: StoredSignIn) -> bool:
        # A refresh token that was given says whose it is, and so does the name that what comes of it is stored under.
        known = self._person is not None and kept.person == self._person
        return self._given is not None or not self._taken or known or kept.sign_in == self._sign_in_id

    def _join(self, kept: StoredSignIn) -> None:
        self._sign_in_id = kept.sign_in
        self._stored, self._parted = True, False

    async def _recall(self, refused: list[str]) -> bool:
        """Take up the sign-in that the store holds, if it is this person's; return whether it did."""
        kept = await self._look()
        if kept is None or not self._is_ours(kept):
            return False
        if kept.refresh_token in refused:
            if self._shared is not None and self._stored_under is not None:
                await self._shared.delete(self._stored_under)
            return False
        self._join(kept)
        self._person = self._person or kept.person
        self._user_name = self._user_name or kept.user_name
        self._keep({"refresh_token": kept.refresh_token})
        return True

    async def _remember(self, *, anew: bool) -> None:
        """Put the refresh token into the store, unless the person has signed out there, or somebody else signed in."""
        if self._shared is None or self._stored_under is None or self._refresh_token is None:
            return
        kept = await self._look()
        if kept is not None and self._is_ours(kept):
            self._join(kept)
        elif not anew and (kept is not None or self._stored):
            self._parted = True
            return
        self._sign_in_id = self._sign_in_id or uuid.uuid4().hex
        self._parted = False
        value = msgspec.json.encode(StoredSignIn(self._sign_in_id, self._refresh_token, self._person, self._user_name))
        await self._shared.write(self._stored_under, value, lives_s=_LIFE_S)
        if not self._stored:  # a store that fails says nothing: what cannot be read was not written
            self._stored = await self._look() is not None

    def _recognise(self, result: Mapping[str, Any], *, continued: bool) -> None:
        """
        Check that tokens of two people do not mix under one account.

        Args:
            result: MSAL's.
            continued: Whether it can only be the same person who is told of, if one is at all.
        """
        person = identify_user(result)
        if not self._taken or (continued and None in (person, self._person)):
            return
        if person is None or person != self._person:
            message = "Another person signed in than the one this connection belongs to, or it is not told who did."
            raise InteractionRequiredError(message, hint="Sign in as the same person, or connect anew.")

    def _forget(self) -> None:
        self._refresh_token = None
        self._context.refresh_tokens.drop(self._holder, self)

    async def _redeem(self, question: UserTokenRequest, refresh_token: str) -> Token:
        claims = add_capabilities(question.claims, enable_cae=question.application.enable_cae)
        asked_at = self._context.clock.now()
        own = refresh_token in (self._refresh_token, self._given)
        result = await self._context.msal.run(
            question.application,
            # MSAL's method knows no claims, but passes on what else there is to send.
            lambda app: app.acquire_token_by_refresh_token(
                refresh_token, list(question.scopes), data={"claims": claims}
            ),
        )
        self._recognise(result, continued=own)
        token = token_from(result, asked_at=asked_at)
        self._keep({"refresh_token": refresh_token, **result})
        await self._remember(anew=self._sign_in_id is None)
        return token

    async def _sign_in(
        self, question: UserTokenRequest, refusal: AuthenticationError | None, refused: list[str]
    ) -> Token:
        if self._ask is None:
            if refusal is not None:
                raise refusal
            message = "There is no refresh token left."
            raise InteractionRequiredError(message, hint="Sign in with Browser or DeviceCode.")
        running = self._running = RunningSignIn()
        try:
            if refusal is not None and refusal.claims is not None:
                question = replace(question, claims=refusal.claims)
            async with self._alone():
                # While this one waited for its turn, another process may have asked the person.
                if self._refresh_token in (None, *refused) and await self._recall(refused):
                    held = self._held(refused)
                    if held is not None:
                        with suppress(AuthenticationError):
                            return await self._redeem(question, held)
                granted = await self._ask(question)
                self._recognise(granted.result, continued=not self._disturbs)
                token = token_from(granted.result, asked_at=granted.asked_at)
                self._forget()
                self._keep(granted.result)
                await self._remember(anew=True)
        except AuthenticationError as error:
            running.error = error
            raise
        finally:
            if self._running is running:
                self._running = None
            running.done.set()
        return token

    def _alone(self) -> AbstractAsyncContextManager[None]:
        if self._shared is None or self._stored_under is None:
            return nullcontext()
        return self._shared.alone(self._stored_under)

    async def _wait(self, running: RunningSignIn) -> None:
        await running.done.wait()
        # Who declined once should not be asked by every service in turn.
        if running.error is not None:
            raise copy.copy(running.error) from running.error

    async def sign_out(self) -> None:
        """Leave the refresh token to nobody, in the store or in the Session, so that the person is asked next time."""
        self._lends = False
        self._context.refresh_tokens.drop(self._holder, self)
        kept = await self._look()
        if kept is not None and self._is_ours(kept) and self._shared is not None and self._stored_under is not None:
            await self._shared.delete(self._stored_under)

    async def aclose(self) -> None:
        """
        Forget the refresh token; the store keeps it.

        It is not revoked: Entra ID lets only its user and administrators do that.
        """
        self._closed = True
        self._forget()


def _asks_for_sign_in(error: AuthenticationError) -> bool:
    return isinstance(error, InteractionRequiredError | ConsentRequiredError) or error.error in _SIGN_IN_AGAIN
