"""A scripted browser: it signs a user in on the real pages, without a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from entra_async.testing.browser.html_page import HtmlPage

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Mapping

    from entra_async.testing.browser.html_page import HtmlForm
    from entra_async.testing.entra.accounts import User

__all__ = ("ScriptedBrowser",)

_MOST_PAGES: Final = 30
_TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class ScriptedBrowser:
    """
    Opens the emulator's real sign-in pages and fills them in over HTTP.

    It keeps its cookies, so that a user stays signed in from one call to the next, until :meth:`forget`.

    Args:
        authority: Gives the root of the sign-in service. Its pages are filled in; any other is where it ends.
        user: Gives the user who signs in unless a call names another.
        tls: Trusts the emulator.

    Attributes:
        address: What the address bar shows, fragment included, after the last page.
        pages: The title-and-text of every page seen in the last call, in order.
    """

    def __init__(self, *, authority: Callable[[], str], user: Callable[[], User], tls: ssl.SSLContext) -> None:
        self._authority = authority
        self._user = user
        self._tls = tls
        self._cookies: aiohttp.CookieJar | None = None
        self.address = ""
        self.pages: list[str] = []

    def forget(self) -> None:
        """Forget every cookie, as a new private window does."""
        self._cookies = None

    async def sign_in(
        self,
        url: str,
        user: User | None = None,
        *,
        decline: bool = False,
        cancel: bool = False,
        deny_mfa: bool = False,
        wrong_password: bool = False,
        account: str | None = None,
    ) -> str:
        """
        Open *url* and fill in its pages, to the last page: the app's own, or one that says what is wrong.

        Args:
            url: An authorize URL.
            user: Who signs in; the emulator's own user unless given.
            decline: Press Cancel on the consent page.
            cancel: Press Cancel on the first page.
            deny_mfa: Deny the second factor, and stop at the page that says so.
            wrong_password: Type another password, and stop at the page that says so.
            account: Which of the accounts shown to pick, a user name, or ``"other"``; *user*'s if it is shown.

        Returns:
            The text of the last page.

        Raises:
            LookupError: If there was no page on which to do what was wanted, such as *decline* without a consent page.
        """
        wanted = {"decline": decline, "cancel": cancel, "deny_mfa": deny_mfa, "wrong_password": wrong_password}
        script = self._script(user, account, wanted)
        async with self._session() as session:
            text = await self._go_on(session, await self._load(session, "GET", url), script)
        script.check_done()
        return text

    async def enter_device_code(
        self,
        user_code: str,
        user: User | None = None,
        *,
        decline: bool = False,
        cancel: bool = False,
        deny_mfa: bool = False,
        wrong_password: bool = False,
        account: str | None = None,
    ) -> str:
        """
        Enter the code another device shows, and sign in.

        Args:
            user_code: The code.
            user: As :meth:`sign_in` takes it.
            decline: Press Cancel on the page that asks whether it is the right app.
            cancel: As :meth:`sign_in` takes it.
            deny_mfa: As :meth:`sign_in` takes it.
            wrong_password: As :meth:`sign_in` takes it.
            account: As :meth:`sign_in` takes it.

        Returns:
            The text of the last page.

        Raises:
            LookupError: As :meth:`sign_in` raises it.
        """
        wanted = {"decline": decline, "cancel": cancel, "deny_mfa": deny_mfa, "wrong_password": wrong_password}
        script = self._script(user, account, wanted)
        async with self._session() as session:
            page = await self._load(session, "GET", f"{self._authority()}/common/oauth2/deviceauth")
            assert page.form is not None  # the page is there to ask for the code
            page = await self._load(session, "POST", page.form.action, {"user_code": user_code})
            text = await self._go_on(session, page, script)
        script.check_done()
        return text

    def _script(self, user: User | None, account: str | None, wanted: Mapping[str, bool]) -> _UserScript:
        return _UserScript(
            user=user or self._user(), account=account, deviations={name for name, meant in wanted.items() if meant}
        )

    def _session(self) -> aiohttp.ClientSession:
        # Made here, not earlier: a cookie jar belongs to a running loop.
        self._cookies = self._cookies or aiohttp.CookieJar()
        self.pages = []
        connector = aiohttp.TCPConnector(ssl=self._tls, force_close=True)
        return aiohttp.ClientSession(connector=connector, cookie_jar=self._cookies, timeout=_TIMEOUT)

    async def _go_on(self, session: aiohttp.ClientSession, page: HtmlPage, script: _UserScript) -> str:
        for _ in range(_MOST_PAGES):
            form = page.form
            if form is None or not self.address.startswith(self._authority() + "/"):
                return page.text
            entered = form.fields if page.submits_itself else script.fill_in(page)
            if entered is None:
                return page.text
            page = await self._load(session, "POST", form.action, entered)
        message = f"After {_MOST_PAGES} pages there is still no end."
        raise RuntimeError(message)

    async def _load(
        self, session: aiohttp.ClientSession, method: str, url: str, form: Mapping[str, str] | None = None
    ) -> HtmlPage:
        for _ in range(_MOST_PAGES):
            self.address = url
            # A fragment stays in the browser; everything else goes out as it was written.
            target = URL(url.partition("#")[0], encoded=True)
            try:
                async with session.request(method, target, data=form, allow_redirects=False) as response:
                    if response.status in {301, 302, 303, 307, 308}:
                        url = urljoin(url, response.headers["Location"])
                        if response.status <= 303:
                            method, form = "GET", None
                        continue
                    page = HtmlPage(await response.text(), url)
            except aiohttp.ClientConnectionError as error:
                page = HtmlPage(f"This site can't be reached ({type(error).__name__}).", url)
            self.pages.append(page.text)
            return page
        message = f"More than {_MOST_PAGES} redirects, the last one to {url.partition('?')[0]}."
        raise RuntimeError(message)


@dataclass(slots=True, kw_only=True)
class _UserScript:
    """What a user enters on each page. What is to be done differently is in *deviations* until it is done."""

    user: User
    account: str | None
    deviations: set[str]
    typed: set[str] = field(default_factory=set)

    def fill_in(self, page: HtmlPage) -> Mapping[str, str] | None:
        """Return what to post, or ``None`` to stay on the page."""
        form = page.form
        assert form is not None  # called for pages with a form only
        if "cancel" in form.choices and self._deviates("cancel"):
            return form.fields | {"choice": "cancel"}
        if "password" in form.fields:
            password = self.user.password + ("-wrong" if self._deviates("wrong_password") else "")
            return self._type_once(form, "password", password, "next")
        if "login" in form.fields:
            return self._type_once(form, "login", self.user.user_principal_name, "next")
        if "number" in form.fields:
            choice = "deny" if self._deviates("deny_mfa") else "approve"
            return self._type_once(form, "number", page.by_id.get("display", ""), choice)
        if "user_code" in form.fields:
            return None  # the code was wrong
        return form.fields | {"choice": self._choose(form.choices)}

    def check_done(self) -> None:
        """Raise LookupError if the page that a deviation was meant for never came."""
        if self.deviations:
            message = f"No page came on which to {min(self.deviations).replace('_', ' ')}."
            raise LookupError(message)

    def _choose(self, choices: list[str]) -> str:
        if "other" in choices:
            wanted = self.account or self.user.user_principal_name
            return wanted if wanted in choices else "other"
        declining = {"decline", "return"} if "continue" not in choices else {"cancel"}
        if declining & set(choices) and self._deviates("decline"):
            return next(choice for choice in choices if choice in declining)
        return choices[0]

    def _type_once(self, form: HtmlForm, name: str, value: str, choice: str) -> Mapping[str, str] | None:
        # The same page again means that it was wrong; there is nothing else to try.
        if name in self.typed:
            return None
        self.typed.add(name)
        return form.fields | {name: value, "choice": choice}

    def _deviates(self, name: str) -> bool:
        if name not in self.deviations:
            return False
        self.deviations.discard(name)
        return True
