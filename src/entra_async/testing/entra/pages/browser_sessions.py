"""The users signed in in each browser, by the cookie of the sign-in page."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.entra.accounts import User

__all__ = ("BrowserSession", "BrowserSessions")

_COOKIE: Final = "ESTSAUTH"


@dataclass(slots=True, kw_only=True)
class _Account:
    user: User
    mfa: bool
    security_stamp: tuple[str, int]

    @property
    def is_valid(self) -> bool:
        """Whether the user's sessions of that time have not been revoked."""
        return self.security_stamp == self.user.security_stamp


class BrowserSession:
    """
    One browser.

    Attributes:
        id: The cookie's value, and ``session_state`` of the responses.
    """

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(24)
        self._accounts: dict[str, _Account] = {}

    @property
    def users(self) -> list[User]:
        """The users signed in, the last one first. A session that was revoked is none."""
        accounts = reversed(self._accounts.values())
        return [account.user for account in accounts if account.is_valid and not account.user.disabled]

    def passed_mfa(self, user: User) -> bool:
        """Return whether *user* is signed in with a second factor."""
        account = self._accounts.get(user.id)
        return account is not None and account.mfa and account.is_valid

    def remember(self, user: User, *, mfa: bool) -> None:
        """Add a user who has signed in."""
        mfa = mfa or self.passed_mfa(user)
        self._accounts.pop(user.id, None)
        self._accounts[user.id] = _Account(user=user, mfa=mfa, security_stamp=user.security_stamp)

    def forget_all(self) -> None:
        """Sign every user out."""
        self._accounts.clear()


class BrowserSessions:
    """Every browser that has been to the sign-in page."""

    def __init__(self) -> None:
        self._sessions: dict[str, BrowserSession] = {}

    def of(self, request: web.Request) -> BrowserSession:
        """Return the browser's session, a new one for a browser that brings no cookie."""
        known = self._sessions.get(request.cookies.get(_COOKIE, ""))
        if known is not None:
            return known
        session = BrowserSession()
        self._sessions[session.id] = session
        return session

    def set_cookie(self, session: BrowserSession, response: web.StreamResponse) -> None:
        """Set the session's cookie."""
        response.set_cookie(_COOKIE, session.id, secure=True, httponly=True, samesite="None", path="/")
