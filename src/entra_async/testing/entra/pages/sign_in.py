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

__all__ = ("Purpose", "SignInPages", "page_response")

_PATIENCE_S: Final = 900.0


class Purpose(Protocol):
    """What a person signs in for."""

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
        """Whether the person must confirm that it was they who started it."""

    def granted(self, user: User, session: BrowserSession) -> web.Response:
        """Respond that *user* signed in and agreed."""

    def refused(self, refusal: AadstsError, request: web.Request) -> web.Response:
        """Respond that the sign-in failed."""

    def cancelled(self) -> web.Response:
        """Respond that the person cancelled."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Interaction:
    """One person on the way through the pages, in one browser."""

    purpose: Purpose
    session: BrowserSession
    started_at: float
    flow: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    hint: str = ""
    user: User | None = None
    asks_who: bool = False  # go on to the user name even though accounts are signed in
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

    def begin(self, request: web.Request, purpose: Purpose) -> web.Response:
        """Show the first page that is needed, or finish at once for a person already signed in."""
        session = self._sessions.of(request)
        way = _Interaction(purpose=purpose, session=session, started_at=self._clock.now(), hint=purpose.login_hint)
        signed_in = session.users if purpose.prompt != "login" else []
        hinted = [user for user in signed_in if user.user_principal_name.lower() == way.hint.strip().lower()]
        if hinted:
            way.user, way.authenticated = hinted[0], True
        elif way.hint:
            way.asks_who = True
            self._identify(way, way.hint)
        elif purpose.prompt == "login":
            way.asks_who = True
        elif len(signed_in) == 1 and purpose.prompt != "select_account":
            way.user, way.authenticated = signed_in[0], True
        self._interactions[way.flow] = way
        return self._kept(session, self._next(way))

    def finish_silently(self, request: web.Request, purpose: Purpose) -> web.Response:
        """Finish without a page, as ``prompt=none`` demands, or say why that can't be."""
        try:
            session = self._sessions.of(request)
            hint = purpose.login_hint.strip().lower()
            users = [user for user in session.users if hint in {"", user.user_principal_name.lower()}]
            if not users:
                raise AadstsError(50058)
            if len(users) > 1:
                raise AadstsError(16000)
            user = users[0]
            user.check_policies(mfa=session.passed_mfa(user), error="interaction_required")
            if not self._wanted(purpose) <= purpose.app.granted(user.id):
                app = purpose.app
                raise AadstsError(65001, error="consent_required", client_id=app.client_id, name=app.name)
        except AadstsError as refusal:
            return purpose.refused(refusal, request)
        return purpose.granted(user, session)

    async def step(self, request: web.Request) -> web.Response:
        """Handle ``POST /common/login/{step}``: what was entered on a page."""
        sent = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        way = self._interactions.get(sent.get("flow", ""))
        if way is None or self._clock.now() > way.started_at + _PATIENCE_S:
            raise AadstsError(50089)
        if self._sessions.of(request) is not way.session:
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
            return self._kept(way.session, self._done(way, way.purpose.cancelled()))
        return self._kept(way.session, take(way, sent, request))

    async def sign_out(self, request: web.Request) -> web.Response:
        """Handle ``/{tenant}/oauth2/v2.0/logout``: forget everybody who is signed in in this browser."""
        self._sessions.of(request).forget_all()
        return page_response(pages.done_page("You signed out", "It's a good idea to close all browser windows."))

    def _account(self, way: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        choice = sent.get("choice", "")
        chosen = [user for user in way.session.users if user.user_principal_name == choice]
        way.asks_who = not chosen
        if chosen:
            way.user, way.authenticated = chosen[0], True
        return self._next(way)

    def _name(self, way: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        way.asks_who = True
        name = sent.get("login", "").strip()
        wrong = "Enter a valid email address, phone number, or user name." if not name else self._identify(way, name)
        return self._next(way, wrong=wrong)

    def _password(self, way: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        if way.user is None:
            raise AadstsError(50089)
        if sent.get("choice") == "back":
            way.user, way.asks_who = None, True
            return self._next(way)
        try:
            way.user.check_password(sent.get("password", ""), now=self._clock.now())
        except AadstsError as refusal:
            return self._next(way, wrong=f"{_SAID.get(refusal.code, refusal.text)} ({refusal.code})")
        way.authenticated = True
        return self._next(way)

    def _mfa(self, way: _Interaction, sent: Mapping[str, str], _: web.Request) -> web.Response:
        user = way.user
        if user is None or not way.authenticated or not way.number:
            raise AadstsError(50089)
        right = sent.get("choice") == "approve" and sent.get("number", "").strip() == way.number
        way.number = ""
        if not right:
            return self._next(way, wrong="We couldn't verify it's you. Try again with the new number. (500121)")
        if user.mfa_unregistered:
            user.mfa_unregistered, user.mfa_required = False, True
        way.session.remember(user, mfa=True)
        return self._next(way)

    def _confirm(self, way: _Interaction, _: Mapping[str, str], __: web.Request) -> web.Response:
        way.confirmed = True
        return self._next(way)

    def _consent(self, way: _Interaction, sent: Mapping[str, str], request: web.Request) -> web.Response:
        user, purpose = way.user, way.purpose
        if user is None or not way.authenticated or self._needs_mfa(way, user):
            raise AadstsError(50089)
        admins = self._for_admins(purpose, user)
        if sent.get("choice") == "accept" and not admins:
            purpose.app.grant(user.id, self._wanted(purpose))
            way.consented = True
            return self._next(way)
        names = ", ".join(name for _, name in sorted(admins))
        refusal = AadstsError(90094, permissions=names) if admins else AadstsError(65004)
        return self._done(way, purpose.refused(refusal, request))

    def _identify(self, way: _Interaction, name: str) -> str:
        """Decide who signs in; return what is wrong with the name, or nothing."""
        way.hint = name
        try:
            way.user = self._accounts.find(name)
        except AadstsError as refusal:
            return f"This username may be incorrect. Make sure you typed it correctly. ({refusal.code})"
        way.authenticated = False
        return ""

    def _next(self, way: _Interaction, *, wrong: str = "") -> web.Response:
        purpose, user, flow = way.purpose, way.user, way.flow
        if user is None:
            if way.session.users and not way.asks_who:
                return page_response(pages.account_page(flow, purpose.app, way.session.users))
            return page_response(pages.user_name_page(flow, purpose.app, hint=way.hint, wrong=wrong))
        if not way.authenticated:
            return page_response(pages.password_page(flow, user, wrong=wrong))
        if user.blocked_by_policy:
            raise AadstsError(53003)
        if self._needs_mfa(way, user):
            way.number = f"{secrets.randbelow(90) + 10}"
            return page_response(pages.mfa_page(flow, user, way.number, wrong=wrong))
        way.session.remember(user, mfa=False)
        if purpose.on_another_device and not way.confirmed:
            return page_response(pages.confirm_page(flow, purpose.app, user))
        wanted = self._wanted(purpose)
        missing = wanted - purpose.app.granted(user.id)
        if missing or (purpose.prompt == "consent" and not way.consented):
            page = pages.admin_page if self._for_admins(purpose, user) else pages.consent_page
            return page_response(page(flow, purpose.app, user, wanted if purpose.prompt == "consent" else missing))
        return self._done(way, purpose.granted(user, way.session))

    def _needs_mfa(self, way: _Interaction, user: User) -> bool:
        return (user.mfa_required or user.mfa_unregistered) and not way.session.passed_mfa(user)

    def _wanted(self, purpose: Purpose) -> frozenset[Permission]:
        return wanted_permissions(purpose.app, purpose.requested, purpose.oidc)

    def _for_admins(self, purpose: Purpose, user: User) -> frozenset[Permission]:
        """Return the permissions missing that only an administrator can grant."""
        known = {(part.resource.app_id, name) for part in purpose.requested for name in part.resource.admin_scopes}
        return (self._wanted(purpose) - purpose.app.granted(user.id)) & known

    def _done(self, way: _Interaction, response: web.Response) -> web.Response:
        self._interactions.pop(way.flow, None)  # its pages lead nowhere from now on
        return response

    def _kept(self, session: BrowserSession, response: web.Response) -> web.Response:
        self._sessions.keep(session, response)
        return response


def page_response(html: str, *, status: int = 200) -> web.Response:
    """Return the response with a page."""
    return web.Response(text=html, status=status, content_type="text/html", charset="utf-8", headers=page_headers())


_SAID: Final[Mapping[int, str]] = {
    50053: "Your account is temporarily locked to prevent unauthorized use. Try again later.",
    50055: "Your password has expired. Ask your administrator for a new one.",
    50057: "Your account has been locked. Contact your support person to unlock it, then try again.",
    50126: "Your account or password is incorrect. If you don't remember your password, reset it now.",
}
