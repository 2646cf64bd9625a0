"""
The sign-in pages: account, password, second factor, consent.

Each page posts to a step; what is still missing decides which page comes next.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from aiohttp import web

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.user_tokens import wanted_permissions
from entra_async.testing.entra.pages import html as pages
from entra_async.testing.entra.pages.layout import page_headers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.entra.accounts import Accounts, User
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.pages.browser_sessions import BrowserSession, BrowserSessions
    from entra_async.testing.entra.permissions import ResourceScopes
    from entra_async.testing.entra.resource_servers import Permission

__all__ = ("SignInPages", "SignInRequest", "page_response")

_TIMEOUT_S: Final = 900.0


class SignInRequest(Protocol):
    """What a user signs in for: an authorization code, or the tokens of a device."""

    @property
    def app(self) -> App:
        """The app."""

    @property
    def oidc(self) -> frozenset[str]:
        """The OpenID Connect scopes it requests."""

    @property
    def requested(self) -> tuple[ResourceScopes, ...]:
        """The scopes it requests of each resource server."""

    @property
    def prompt(self) -> str:
        """``login``, ``none``, ``consent``, ``select_account``, or empty."""

    @property
    def login_hint(self) -> str:
        """The user name expected, or empty."""

    @property
    def on_another_device(self) -> bool:
        """Whether the user must confirm that it was they who started it."""

    def succeeded(self, user: User, session: BrowserSession) -> web.Response:
        """Respond that *user* signed in and agreed."""

    def failed(self, error: AadstsError, request: web.Request) -> web.Response:
        """Respond that the sign-in failed."""

    def cancelled(self) -> web.Response:
        """Respond that the user cancelled."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Interaction:
    """One user's sign-in in one browser, from page to page."""

    sign_in: SignInRequest
    session: BrowserSession
    started_at: float
    flow: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    hint: str = ""
    user: User | None = None
    needs_user_name: bool = False  # go on to the user name even though accounts are signed in
    authenticated: bool = False
    number: str = ""
    confirmed: bool = False
    consented: bool = False


class SignInPages:
    """Serves the sign-in pages."""

    def __init__(self, accounts: Accounts, sessions: BrowserSessions, clock: EmulatorClock) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._clock = clock
        self._interactions: dict[str, _Interaction] = {}

    def begin(self, request: web.Request, sign_in: SignInRequest) -> web.Response:
        """Show the first page that is needed, or finish at once for a user already signed in."""
        session = self._sessions.of(request)
        interaction = _Interaction(
            sign_in=sign_in, session=session, started_at=self._clock.now(), hint=sign_in.login_hint
        )
        signed_in = session.users if sign_in.prompt != "login" else []
        hinted = [user for user in signed_in if user.user_principal_name.lower() == interaction.hint.strip().lower()]
        if hinted:
            interaction.user, interaction.authenticated = hinted[0], True
        elif interaction.hint:
            interaction.needs_user_name = True
            self._identify(interaction, interaction.hint)
        elif sign_in.prompt == "login":
            interaction.needs_user_name = True
        elif len(signed_in) == 1 and sign_in.prompt != "select_account":
            interaction.user, interaction.authenticated = signed_in[0], True
        self._interactions[interaction.flow] = interaction
        return self._with_cookie(session, self._next(interaction))

    def finish_silently(self, request: web.Request, sign_in: SignInRequest) -> web.Response:
        """Finish without a page, as ``prompt=none`` requires, or respond with the reason why not."""
        try:
            session = self._sessions.of(request)
            hint = sign_in.login_hint.strip().lower()
            users = [user for user in session.users if hint in {"", user.user_principal_name.lower()}]
            if not users:
                raise AadstsError(50058)
            if len(users) > 1:
                raise AadstsError(16000)
            user = users[0]
            user.check_policies(mfa=session.passed_mfa(user), error="interaction_required")
            if not self._wanted(sign_in) <= sign_in.app.granted(user.id):
                app = sign_in.app
                raise AadstsError(65001, error="consent_required", client_id=app.client_id, name=app.name)
        except AadstsError as error:
            return sign_in.failed(error, request)
        return sign_in.succeeded(user, session)

    async def step(self, request: web.Request) -> web.Response:
        """Handle ``POST /common/login/{step}``: what was entered on a page."""
        sent = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        interaction = self._interactions.get(sent.get("flow", ""))
        if interaction is None or self._clock.now() > interaction.started_at + _TIMEOUT_S:
            raise AadstsError(50089)
        if self._sessions.of(request) is not interaction.session:
            raise AadstsError(165000)
        steps = {
            "account": self._account,
            "confirm": self._confirm,
            "consent": self._consent,
            "mfa": self._mfa,
            "name": self._name,
            "password": self._password,
        }
        take = steps.get(request.match_info["step"])
        if take is None:
            raise AadstsError(9002313, reason="There is no such page.")
        if sent.get("choice") == "cancel":
            return self._with_cookie(interaction.session, self._done(interaction, interaction.sign_in.cancelled()))
        return self._with_cookie(interaction.session, take(interaction, sent, request))

    async def sign_out(self, request: web.Request) -> web.Response:
        """Handle ``/{tenant}/oauth2/v2.0/logout``: sign out every user of this browser."""
        self._sessions.of(request).forget_all()
        return page_response(pages.done_page("You signed out", "It's a good idea to close all browser windows."))

    def _account(self, interaction: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        choice = sent.get("choice", "")
        chosen = [user for user in interaction.session.users if user.user_principal_name == choice]
        interaction.needs_user_name = not chosen
        if chosen:
            interaction.user, interaction.authenticated = chosen[0], True
        return self._next(interaction)

    def _name(self, interaction: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        interaction.needs_user_name = True
        name = sent.get("login", "").strip()
        wrong = (
            "Enter a valid email address, phone number, or user name."
            if not name
            else self._identify(interaction, name)
        )
        return self._next(interaction, wrong=wrong)

    def _password(self, interaction: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        if interaction.user is None:
            raise AadstsError(50089)
        if sent.get("choice") == "back":
            interaction.user, interaction.needs_user_name = None, True
            return self._next(interaction)
        try:
            interaction.user.check_password(sent.get("password", ""), now=self._clock.now())
        except AadstsError as error:
            return self._next(interaction, wrong=f"{_MESSAGES.get(error.code, error.text)} ({error.code})")
        interaction.authenticated = True
        return self._next(interaction)

    def _mfa(self, interaction: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        user = interaction.user
        if user is None or not interaction.authenticated or not interaction.number:
            raise AadstsError(50089)
        right = sent.get("choice") == "approve" and sent.get("number", "").strip() == interaction.number
        interaction.number = ""
        if not right:
            return self._next(interaction, wrong="We couldn't verify it's you. Try again with the new number. (500121)")
        if user.mfa_unregistered:
            user.mfa_unregistered, user.mfa_required = False, True
        interaction.session.remember(user, mfa=True)
        return self._next(interaction)

    def _confirm(self, interaction: _Interaction, _: Mapping[str, str], __: web.Request) -> web.Response:
        interaction.confirmed = True
        return self._next(interaction)

    def _consent(self, interaction: _Interaction, sent: Mapping[str, str], request: web.Request) -> web.Response:
        user, sign_in = interaction.user, interaction.sign_in
        if user is None or not interaction.authenticated or self._needs_mfa(interaction, user):
            raise AadstsError(50089)
        admins = self._for_admins(sign_in, user)
        if sent.get("choice") == "accept" and not admins:
            sign_in.app.grant(user.id, self._wanted(sign_in))
            interaction.consented = True
            return self._next(interaction)
        names = ", ".join(name for _, name in sorted(admins))
        error = AadstsError(90094, permissions=names) if admins else AadstsError(65004)
        return self._done(interaction, sign_in.failed(error, request))

    def _identify(self, interaction: _Interaction, name: str) -> str:
        """Decide who signs in; return what is wrong with the name, or nothing."""
        interaction.hint = name
        try:
            interaction.user = self._accounts.find(name)
        except AadstsError as error:
            return f"This username may be incorrect. Make sure you typed it correctly. ({error.code})"
        interaction.authenticated = False
        return ""

    def _next(self, interaction: _Interaction, *, wrong: str = "") -> web.Response:
        sign_in, user, flow = interaction.sign_in, interaction.user, interaction.flow
        if user is None:
            if interaction.session.users and not interaction.needs_user_name:
                return page_response(pages.account_page(flow, sign_in.app, interaction.session.users))
            return page_response(pages.user_name_page(flow, sign_in.app, hint=interaction.hint, wrong=wrong))
        if not interaction.authenticated:
            return page_response(pages.password_page(flow, user, wrong=wrong))
        if user.blocked_by_policy:
            raise AadstsError(53003)
        if self._needs_mfa(interaction, user):
            interaction.number = f"{secrets.randbelow(90) + 10}"
            return page_response(pages.mfa_page(flow, user, interaction.number, wrong=wrong))
        interaction.session.remember(user, mfa=False)
        if sign_in.on_another_device and not interaction.confirmed:
            return page_response(pages.confirm_page(flow, sign_in.app, user))
        wanted = self._wanted(sign_in)
        missing = wanted - sign_in.app.granted(user.id)
        if missing or (sign_in.prompt == "consent" and not interaction.consented):
            page = pages.admin_page if self._for_admins(sign_in, user) else pages.consent_page
            return page_response(page(flow, sign_in.app, user, wanted if sign_in.prompt == "consent" else missing))
        return self._done(interaction, sign_in.succeeded(user, interaction.session))

    def _needs_mfa(self, interaction: _Interaction, user: User) -> bool:
        return (user.mfa_required or user.mfa_unregistered) and not interaction.session.passed_mfa(user)

    def _wanted(self, sign_in: SignInRequest) -> frozenset[Permission]:
        return wanted_permissions(sign_in.app, sign_in.requested, sign_in.oidc)

    def _for_admins(self, sign_in: SignInRequest, user: User) -> frozenset[Permission]:
        """Return the permissions missing that only an administrator can grant."""
        known = {(part.resource.app_id, name) for part in sign_in.requested for name in part.resource.admin_scopes}
        return (self._wanted(sign_in) - sign_in.app.granted(user.id)) & known

    def _done(self, interaction: _Interaction, response: web.Response) -> web.Response:
        self._interactions.pop(interaction.flow, None)  # its pages are of no use from now on
        return response

    def _with_cookie(self, session: BrowserSession, response: web.Response) -> web.Response:
        self._sessions.set_cookie(session, response)
        return response


def page_response(html: str, *, status: int = 200) -> web.Response:
    """Return the response with a page."""
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8", headers=page_headers())


_MESSAGES: Final[Mapping[int, str]] = {
    50053: "Your account is temporarily locked to prevent unauthorized use. Try again later.",
    50055: "Your password has expired. Ask your administrator for a new one.",
    50057: "Your account has been locked. Contact your support person to unlock it, then try again.",
    50126: "Your account or password is incorrect. If you don't remember your password, reset it now.",
}
