"""
The authorize endpoint: an app's authorization request comes in a browser, and an authorization code goes back.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.authorization_codes import AuthorizationCode
from entra_async.testing.entra.pages.authorize_request import read_authorization_request, read_redirect_target
from entra_async.testing.entra.tenant import ALIASES
from entra_async.testing.entra.tokens.id_tokens import client_info
from entra_async.testing.entra.tokens.refresh_tokens import UserSignIn

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.entra.accounts import User
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.grants.authorization_codes import AuthorizationCodes
    from entra_async.testing.entra.pages.authorize_request import AuthorizationRequest, RedirectTarget
    from entra_async.testing.entra.pages.browser_sessions import BrowserSession
    from entra_async.testing.entra.pages.sign_in import SignInPages
    from entra_async.testing.entra.permissions import ResourceScopes
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("AuthorizeEndpoint",)


class AuthorizeEndpoint:
    """Handles ``GET /{tenant}/oauth2/v2.0/authorize`` and ``GET /{tenant}/oauth2/authorize``."""

    def __init__(self, tenant: Tenant, clock: EmulatorClock, pages: SignInPages, codes: AuthorizationCodes) -> None:
        self._tenant = tenant
        self._clock = clock
        self._pages = pages
        self._codes = codes

    async def v1(self, request: web.Request) -> web.Response:
        """Handle a request to the older endpoint, which takes a ``resource``."""
        return self._respond(request, version=1)

    async def v2(self, request: web.Request) -> web.Response:
        """Handle a request to the endpoint that takes a ``scope``."""
        return self._respond(request, version=2)

    def _respond(self, request: web.Request, *, version: int) -> web.Response:
        segment = request.match_info["tenant"]
        if segment.lower() not in ALIASES and not self._tenant.is_named(segment):
            raise AadstsError(90002, tenant=segment)
        target = read_redirect_target(request, self._tenant)
        try:
            authorization = read_authorization_request(request.query, target, self._tenant, version=version)
        except AadstsError as error:
            return target.error_response(error, request, now=self._clock.now())
        sign_in = _CodeRequest(target, authorization, self._codes, self._tenant.id, self._clock)
        if authorization.prompt == "none":
            return self._pages.finish_silently(request, sign_in)
        return self._pages.begin(request, sign_in)


@dataclass(frozen=True, slots=True)
class _CodeRequest:
    """An authorization request as the sign-in pages see it: the app gets a code at its redirect URI."""

    target: RedirectTarget
    authorization: AuthorizationRequest
    codes: AuthorizationCodes
    tenant_id: str
    clock: EmulatorClock

    @property
    def app(self) -> App:
        return self.target.app

    @property
    def oidc(self) -> frozenset[str]:
        return self.authorization.oidc

    @property
    def requested(self) -> tuple[ResourceScopes, ...]:
        return self.authorization.requested

    @property
    def prompt(self) -> str:
        return self.authorization.prompt

    @property
    def login_hint(self) -> str:
        return self.authorization.login_hint

    @property
    def on_another_device(self) -> bool:
        return False

    def succeeded(self, user: User, session: BrowserSession) -> web.Response:
        signed_in = UserSignIn(
            user=user,
            app=self.app,
            oidc=self.authorization.oidc,
            audience=self.authorization.requested[0].audience,
            scope=self.authorization.scope,
            mfa=session.passed_mfa(user),
            at=self.clock.now(),
            security_stamp=user.security_stamp,
            nonce=self.authorization.nonce,
            single_page=self.target.single_page,
        )
        code = AuthorizationCode(
            signed_in=signed_in, redirect_uri=self.target.redirect_uri, challenge=self.authorization.challenge
        )
        return self.target.code_response(
            self.codes.issue(code),
            client_info=client_info(user, self.tenant_id) if self.authorization.client_info else None,
            session_state=session.id,
        )

    def failed(self, error: AadstsError, request: web.Request) -> web.Response:
        return self.target.error_response(error, request, now=self.clock.now())

    def cancelled(self) -> web.Response:
        return self.target.cancelled_response()
