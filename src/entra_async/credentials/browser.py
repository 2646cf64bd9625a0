"""Sign in as a user, in a browser on this machine."""

from __future__ import annotations

import hmac
import math
import sys
import webbrowser
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

import anyio

from entra_async.credentials.interactive.background_tasks import run_with_background
from entra_async.credentials.interactive.callback import call
from entra_async.credentials.interactive.pages import failed_page, not_found_page, refused_page, signed_in_page
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.store_name import stored_as
from entra_async.credentials.sources.user import Grant, UserTokenRequest, UserTokenSource
from entra_async.errors import (
    AuthenticationError,
    ConfigurationError,
    CredentialUnavailableError,
    EntraError,
    InteractionRequiredError,
)
from entra_async.rules.http.urls import strip_query
from entra_async.rules.sign_in.identifiers import check_client_id, check_tenant_id
from entra_async.rules.sign_in.redirects import Redirect, check_redirect_uri, choose_port, redirect_to
from entra_async.rules.sign_in.user import check_callable, check_scopes, check_timeout_s, check_user_name
from entra_async.tokens.source import TokenSource
from entra_async.transport.loopback import BrowserRequest, ReplyPage, listen

__all__ = ("Browser",)

_MODES: Final = ("auto", "print_link")
_PROMPTS: Final = ("login", "none", "consent", "select_account", "create")
_MAX_PORT: Final = 65535
_GUID_LENGTH: Final = 36
_LAST_PAGE_S: Final = 2.0
# The rest of what comes along is of no use, and MSAL need not parse it.
_PARAMETERS: Final = ("code", "state", "error", "error_description", "error_uri")


@dataclass(frozen=True, slots=True, kw_only=True)
class Browser:
    """
    A user who signs in on Microsoft's page, in a browser on this machine.

    The authorization code flow with PKCE. The redirect goes to a listener on this machine's loopback address, which is
    open before the browser is, and closed as soon as the sign-in has ended. One sign-in serves every service that is
    connected with it, and it is repeated only when Entra ID requires interaction again.

    Register ``http://localhost`` as a redirect URI of *Mobile and desktop applications*.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, one of its domains, or ``organizations``, ``common`` or ``consumers``.
        scopes: Delegated permissions to request; everything granted if empty.
        mode: ``"auto"`` opens the default browser; ``"print_link"`` prints the link to stderr, to be opened in any
            browser on this machine.
        opener: Called with the link instead; a coroutine function or a plain one, which runs in a worker thread.
        login_hint: The user name to fill in.
        prompt: ``"login"``, ``"none"``, ``"consent"``, ``"select_account"`` or ``"create"``.
        redirect_uri: Where the browser is sent afterwards, if it is not ``http://localhost`` with the port listened
            on: with a port it is sent as it is, so that something may stand between, such as a container's port.
        port: Where to listen; by default the port of *redirect_uri*, or else any free one.
        timeout_s: Seconds the user has.
        use_refresh_token: Take the refresh token that another connection of the Session has for the same client and
            tenant, and open a browser only if there is none or it is refused.

    Raises:
        ConfigurationError: If a value is missing or malformed, or the mix is wrong. Nothing is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
        RFC 7636 (PKCE); RFC 8252 (OAuth 2.0 for native apps)
    """

    client_id: str
    tenant_id: str = "organizations"
    scopes: tuple[str, ...] = ()
    mode: Literal["auto", "print_link"] = "auto"
    opener: Callable[[str], object] | None = field(default=None, repr=False)
    login_hint: str | None = None
    prompt: str | None = None
    redirect_uri: str | None = None
    port: int = 0
    timeout_s: float = 300.0
    use_refresh_token: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_tenant_id(self.tenant_id)
        object.__setattr__(self, "scopes", check_scopes(self.scopes))
        check_callable(self.opener, field="opener")
        check_timeout_s(self.timeout_s)
        if self.mode not in _MODES:
            message = f"mode is {self.mode!r}."
            raise ConfigurationError(message, field="mode", hint="Use 'auto' or 'print_link'.")
        if self.mode == "print_link" and self.opener is not None:
            message = "opener and mode='print_link' are two ways to show the link."
            raise ConfigurationError(message, field="opener", hint="Keep one of them.")
        if self.prompt is not None and self.prompt not in _PROMPTS:
            message = f"prompt is {self.prompt!r}."
            raise ConfigurationError(
                message, field="prompt", hint=f"Use one of {', '.join(_PROMPTS)}, or leave it out."
            )
        if self.login_hint is not None:
            check_user_name(self.login_hint, field="login_hint")
            if self.prompt == "select_account":
                message = "login_hint names the account that prompt='select_account' asks for."
                raise ConfigurationError(message, field="login_hint", hint="Keep one of them.")
        if self.redirect_uri is not None:
            check_redirect_uri(self.redirect_uri)
        if isinstance(self.port, bool) or not isinstance(self.port, int) or not 0 <= self.port <= _MAX_PORT:
            message = f"port is {self.port!r}."
            raise ConfigurationError(message, field="port", hint=f"Give a number up to {_MAX_PORT}; 0 for any.")

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""

        async def sign_in(request: UserTokenRequest) -> Grant:
            return await _sign_in(self, context, request)

        return UserTokenSource(
            context,
            client_id=self.client_id,
            tenant_id=self.tenant_id,
            sign_in=sign_in,
            reuse=self.use_refresh_token,
            stored_as=stored_as(self, context.authority),
            user_name=self.login_hint,
        )


async def _sign_in(provider: Browser, context: SignInContext, request: UserTokenRequest) -> Grant:
    async with listen(choose_port(provider.redirect_uri, port=provider.port)) as loopback:
        redirect = redirect_to(provider.redirect_uri, port=loopback.port)
        flow = await context.msal.run(
            request.application,
            lambda app: app.initiate_auth_code_flow(
                list(request.scopes),
                redirect_uri=redirect.uri,
                prompt=provider.prompt,
                login_hint=provider.login_hint,
                claims_challenge=request.claims,
                response_mode="form_post",
            ),
        )
        response = _AuthorizationResponse(redirect, state=flow["state"])

        async def redeem() -> Grant:
            parameters = await response.wait()
            requested_at = context.clock.now()
            try:
                result = await context.msal.run(
                    request.application, lambda app: app.acquire_token_by_auth_code_flow(flow, parameters), once=True
                )
                _check_identity(result, request.application.authority)
            except EntraError as error:
                response.show(failed_page(error))
                raise
            else:
                response.show(signed_in_page())
            finally:
                await loopback.finish(within_s=_LAST_PAGE_S)
            return Grant(result, requested_at)

        async def time_out() -> None:
            await context.clock.sleep(provider.timeout_s)
            message = f"Nobody finished the sign-in in the browser within {provider.timeout_s:g} s."
            raise InteractionRequiredError(message, hint="Sign in again, or allow more time with timeout_s=.")

        return await run_with_background(
            redeem,
            lambda: loopback.serve(response.visit, hosts=redirect.hosts),
            lambda: _show(provider, flow["auth_uri"]),
            time_out,
        )


def _check_identity(result: Mapping[str, Any], authority: str) -> None:
    # The nonce, which ties the token response to this sign-in, is in the ID token, so there must be one.
    claims = result.get("id_token_claims")
    if not isinstance(claims, Mapping):
        message = "The token response does not say who signed in."
        raise AuthenticationError(message, hint="Check authority=: this may not be a token service of Entra ID.")
    tenant, issued = authority.rpartition("/")[2].lower(), str(claims.get("tid", "")).lower()
    if len(tenant) == _GUID_LENGTH and "." not in tenant and issued != tenant:
        message = f"A user of tenant {issued!r} signed in, where tenant {tenant!r} was requested."
        raise AuthenticationError(message, hint="Sign in with an account of that tenant.")


async def _show(provider: Browser, link: str) -> None:
    # The sign-in as a whole has its deadline: some browsers are not back before they are closed.
    if provider.opener is not None:
        await call(provider.opener, link, what="The opener of the browser", within_s=math.inf)
    elif provider.mode == "print_link":
        await call(_print_link, link, what="Printing the link", within_s=math.inf)
    elif not await call(webbrowser.open, link, what="Opening the browser", within_s=math.inf):
        message = f"No browser could be opened on this machine for {strip_query(link)}."
        hint = "Use mode='print_link' and open the link yourself, give an opener=, or sign in with DeviceCode."
        raise CredentialUnavailableError(message, hint=hint, attempts=0)


def _print_link(link: str) -> None:
    sys.stderr.write(f"To sign in, open this link in a browser on this machine:\n\n{link}\n\n")
    sys.stderr.flush()


@final
class _AuthorizationResponse:
    """Waits for the authorization response of one sign-in, and shows the browser how that ended."""

    def __init__(self, redirect: Redirect, *, state: str) -> None:
        self._redirect = redirect
        self._state = state
        self._parameters: dict[str, str] = {}
        self._received = anyio.Event()
        self._page: ReplyPage | None = None
        self._ended = anyio.Event()

    async def visit(self, visit: BrowserRequest) -> ReplyPage:
        if visit.path != self._redirect.path:
            return not_found_page()
        parameters = {name: visit.fields[name] for name in _PARAMETERS if name in visit.fields}
        # Compared in constant time: this port is open to every program on the machine.
        if not hmac.compare_digest(parameters.get("state", "").encode(), self._state.encode()) or not (
            parameters.get("code") or parameters.get("error")
        ):
            return refused_page()
        if not self._received.is_set():
            self._parameters = parameters
            self._received.set()
        await self._ended.wait()
        assert self._page is not None
        return self._page

    async def wait(self) -> dict[str, str]:
        await self._received.wait()
        return self._parameters

    def show(self, page: ReplyPage) -> None:
        self._page = page
        self._ended.set()
