"""Who is signed in in which browser, as the cookie of the sign-in page tells."""

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
    stamp: tuple[str, int]


class BrowserSession:
    """
    One browser.

    Attributes:
        id: The cookie's value, and ``session_state`` of the answers.
    """

    def __init__(self) -> None:
        self.id = secrets.token_urlsafe(24)
        self._accounts: dict[str, _Account] = {}

    @property
    def users(self) -> list[User]:
        """The users signed in, the last one first. A session that was revoked is none."""
        good = [held.user for held in self._accounts.values() if held.stamp == held.user.stamp]
        return [user for user in reversed(good) if not user.disabled]

    def passed_mfa(self, user: User) -> bool:
        """Return whether *user* is signed in with a second factor."""
        held = self._accounts.get(user.id)
        return held is not None and held.mfa and held.stamp == user.stamp

    def remember(self, user: User, *, mfa: bool) -> None:
        """Note that *user* has signed in."""
        mfa = mfa or self.passed_mfa(user)
        self._accounts.pop(user.id, None)
        self._accounts[user.id] = _Account(user=user, mfa=mfa, stamp=user.stamp)

    def forget_all(self) -> None:
        """Sign everybody out."""
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

    def keep(self, session: BrowserSession, response: web.StreamResponse) -> None:
        """Have the browser come back with the session."""
        response.set_cookie(_COOKIE, session.id, secure=True, httponly=True, samesite="None", path="/")
