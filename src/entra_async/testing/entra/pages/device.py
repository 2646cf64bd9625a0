"""The page on which a user enters the code that another device shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.pages import html as pages
from entra_async.testing.entra.pages.sign_in import page_response
from entra_async.testing.entra.tokens.refresh_tokens import UserSignIn

if TYPE_CHECKING:
    from aiohttp import web

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.entra.accounts import User
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.grants.device_codes import DeviceAuthorization, DeviceCodes
    from entra_async.testing.entra.pages.browser_sessions import BrowserSession
    from entra_async.testing.entra.pages.sign_in import SignInPages
    from entra_async.testing.entra.permissions import ResourceScopes

__all__ = ("DevicePage",)


class DevicePage:
    """Serves ``/common/oauth2/deviceauth``."""

    def __init__(self, clock: EmulatorClock, pages: SignInPages, codes: DeviceCodes) -> None:
        self._clock = clock
        self._pages = pages
        self._codes = codes

    async def show(self, _: web.Request) -> web.Response:
        """Show the page."""
        return page_response(pages.device_code_page())

    async def enter(self, request: web.Request) -> web.Response:
        """Go on to the sign-in with the code entered, or show the page again."""
        user_code = str((await request.post()).get("user_code", ""))
        try:
            code = self._codes.find(user_code, now=self._clock.now())
        except AadstsError as error:
            wrong = f"That code didn't work. Check the code and try again. ({error.code})"
            return page_response(pages.device_code_page(wrong=wrong))
        return self._pages.begin(request, _DeviceRequest(code, self._clock))


@dataclass(frozen=True, slots=True)
class _DeviceRequest:
    """A device authorization request as the sign-in pages see it: the device gets tokens."""

    code: DeviceAuthorization
    clock: EmulatorClock

    @property
    def app(self) -> App:
        return self.code.app

    @property
    def oidc(self) -> frozenset[str]:
        return self.code.oidc

    @property
    def requested(self) -> tuple[ResourceScopes, ...]:
        return (self.code.requested,)

    @property
    def prompt(self) -> str:
        return ""

    @property
    def login_hint(self) -> str:
        return ""

    @property
    def on_another_device(self) -> bool:
        return True

    def succeeded(self, user: User, session: BrowserSession) -> web.Response:
        self._check_open()
        self.code.signed_in = UserSignIn(
            user=user,
            app=self.app,
            oidc=self.code.oidc,
            audience=self.code.requested.audience,
            scope=self.code.scope,
            mfa=session.passed_mfa(user),
            at=self.clock.now(),
            security_stamp=user.security_stamp,
        )
        text = f"You have signed in to the {self.app.name} application on your device. You may now close this window."
        return page_response(pages.done_page("You're signed in", text))

    def failed(self, error: AadstsError, request: web.Request) -> web.Response:  # noqa: ARG002 -- not needed here
        self._check_open()
        self.code.declined = True
        text = f"The {self.app.name} application on your device was declined. You may now close this window."
        return page_response(pages.done_page("You declined", f"{text} ({error.code})"))

    def cancelled(self) -> web.Response:
        self._check_open()
        self.code.declined = True
        text = f"You did not sign in to {self.app.name}. You may now close this window."
        return page_response(pages.done_page("You cancelled", text))

    def _check_open(self) -> None:
        if self.code.settled:
            raise AadstsError(90120)
        if self.clock.now() >= self.code.expires_on:
            raise AadstsError(70019)
