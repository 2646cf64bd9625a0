"""An app that signs users in, written down to the wire: every parameter can be changed or left out."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    import aiohttp

    from entra_async.testing import Emulator
    from entra_async.testing.entra.accounts import User
    from entra_async.testing.entra.app_registrations import App

ErrorSummary = tuple[int, str, int]
"""HTTP status, OAuth error and number of the AADSTS code."""

REDIRECT_URI = "http://localhost:8400"


@dataclass
class RelyingParty:
    """One app, one verifier, and the requests it makes."""

    emulator: Emulator
    http: aiohttp.ClientSession
    app: App
    tenant: str = "organizations"
    redirect_uri: str = REDIRECT_URI
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    def url(self, path: str) -> str:
        """Return the URL of an endpoint of the tenant."""
        return f"{self.emulator.authority}/{self.tenant}/{path}"

    def authorize_url(self, *, path: str | None = None, **changes: str | None) -> str:
        """Return a good authorize URL, but for the changes; ``None`` leaves a parameter out."""
        challenge = base64.urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).rstrip(b"=").decode()
        good: dict[str, str | None] = {
            "client_id": self.app.client_id,
            "response_type": "code",
            "redirect_uri": self.redirect_uri,
            "scope": "User.Read openid profile offline_access",
            "state": "state &=?#é",
            "nonce": "nonce-1",
            "code_challenge": challenge,
            "code_challenge_method": "S256",
        }
        sent = {name: value for name, value in {**good, **changes}.items() if value is not None}
        return f"{self.url(path or 'oauth2/v2.0/authorize')}?{urlencode(sent)}"

    async def authorize(self, user: User | None = None, **changes: Any) -> dict[str, str]:
        """Sign the user in on the pages and return what came back to the redirect URI."""
        await self.emulator.browser.sign_in(self.authorize_url(**changes), user)
        return self.response()

    def response(self) -> dict[str, str]:
        """Return the fields in the browser's address bar, query or fragment, in their order."""
        address = urlsplit(self.emulator.browser.address)
        assert f"{address.scheme}://{address.netloc}" == self.redirect_uri, self.emulator.browser.pages
        return dict(parse_qsl(address.query or address.fragment, strict_parsing=True))

    async def code(self, user: User | None = None, **changes: Any) -> str:
        """Sign the user in and return the code."""
        return (await self.authorize(user, **changes))["code"]

    def code_form(self, code: str, /, **changes: str | None) -> dict[str, str]:
        """Return a good form to redeem the code, but for the changes."""
        good: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "client_id": self.app.client_id,
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            "scope": "User.Read openid profile offline_access",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def refresh_form(self, refresh_token: str, /, **changes: str | None) -> dict[str, str]:
        """Return a good form to redeem the refresh token, but for the changes."""
        good: dict[str, str | None] = {
            "grant_type": "refresh_token",
            "client_id": self.app.client_id,
            "refresh_token": refresh_token,
            "scope": "User.Read openid profile offline_access",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    def password_form(self, user: User | None = None, /, **changes: str | None) -> dict[str, str]:
        """Return a good form to sign in with a password, but for the changes."""
        user = user or self.emulator.user
        good: dict[str, str | None] = {
            "grant_type": "password",
            "client_id": self.app.client_id,
            "username": user.user_principal_name,
            "password": user.password,
            "scope": "User.Read openid profile offline_access",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not None}

    async def post(
        self, form: dict[str, str], *, path: str = "oauth2/v2.0/token", **options: Any
    ) -> tuple[int, dict[str, Any]]:
        """Post a form; return status and body."""
        async with self.http.post(self.url(path), data=form, **options) as response:
            assert response.headers["Cache-Control"] == "no-store, no-cache"
            assert "Retry-After" not in response.headers
            return response.status, await response.json()

    async def tokens(self, form: dict[str, str], **options: Any) -> dict[str, Any]:
        """Post a form that must be answered with tokens."""
        status, body = await self.post(form, **options)
        assert status == 200, body
        return body

    async def error(self, form: dict[str, str], **options: Any) -> ErrorSummary:
        """Post a form that must be refused."""
        status, body = await self.post(form, **options)
        assert status != 200, body
        assert body["error_description"].startswith(f"AADSTS{body['error_codes'][0]}: ")
        return status, body["error"], body["error_codes"][0]

    async def sign_in(self, user: User | None = None, **changes: Any) -> dict[str, Any]:
        """Sign the user in on the pages and return the tokens."""
        return await self.tokens(self.code_form(await self.code(user, **changes)))


def code_of(response: dict[str, str]) -> int:
    """Return the number of the AADSTS code of an error that came by redirect."""
    return int(response["error_description"].partition(":")[0].removeprefix("AADSTS"))
