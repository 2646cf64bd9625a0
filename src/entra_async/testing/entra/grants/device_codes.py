"""
The device code flow: a device starts it, the user signs in on another device, and the first one polls.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-device-code
    RFC 8628, section 3: https://www.rfc-editor.org/rfc/rfc8628#section-3
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from aiohttp import web

from entra_async.testing.entra.errors import AadstsError, no_store_headers
from entra_async.testing.entra.grants.token_request import read_token_request
from entra_async.testing.entra.grants.user_tokens import check_tenant, only_resource
from entra_async.testing.entra.tenant import ALIASES

if TYPE_CHECKING:
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.grants.user_tokens import UserTokens
    from entra_async.testing.entra.permissions import ResourceScopes
    from entra_async.testing.entra.tokens.refresh_tokens import UserSignIn

__all__ = ("DeviceAuthorization", "DeviceCodes")

_LIFE_S: Final = 900
_INTERVAL_S: Final = 5
_SLOWER_S: Final = 5  # RFC 8628, section 3.5
_LETTERS: Final = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that looks like another
_TOLERANCE_S: Final = 0.01  # two clocks never agree to the last digit


@dataclass(slots=True, kw_only=True, eq=False)
class DeviceAuthorization:
    """
    One device authorization request, and what came of it.

    Attributes:
        app: The app on the device.
        oidc: The OpenID Connect scopes it requests.
        requested: The scopes it requests.
        scope: Its scopes as it wrote them; ``None`` on v1.0.
        expires_on: Epoch seconds.
        user_code: What the user types.
        signed_in: The user's sign-in, once they agreed.
        declined: Whether they said no.
        redeemed: Whether the tokens were issued.
    """

    app: App
    oidc: frozenset[str]
    requested: ResourceScopes
    scope: str | None
    expires_on: float
    user_code: str = field(default_factory=lambda: "".join(secrets.choice(_LETTERS) for _ in range(9)))
    signed_in: UserSignIn | None = None
    declined: bool = False
    redeemed: bool = False
    _interval_s: float = field(default=_INTERVAL_S, init=False)
    _polled_at: float | None = field(default=None, init=False)

    @property
    def settled(self) -> bool:
        """Whether the user has agreed or declined."""
        return self.signed_in is not None or self.declined

    def poll(self, *, now: float) -> UserSignIn:
        """
        Return who signed in.

        Raises:
            AadstsError: 70016 as long as nobody did, or when it polls too often; 70019 too late; 65004 declined;
                54005 used already.
        """
        if self.redeemed:
            raise AadstsError(54005)
        if now >= self.expires_on:
            raise AadstsError(70019)
        before, self._polled_at = self._polled_at, now
        if before is not None and now - before < self._interval_s - _TOLERANCE_S:
            self._interval_s += _SLOWER_S
            raise AadstsError(70016, error="slow_down", advice=f"Poll every {self._interval_s:g} seconds at most.")
        if self.declined:
            raise AadstsError(65004, error="authorization_declined")
        if self.signed_in is None:
            raise AadstsError(70016, advice="Continue polling.")
        self.signed_in.check_not_revoked()
        self.signed_in.user.check_enabled()
        return self.signed_in


class DeviceCodes:
    """Handles ``POST /{tenant}/oauth2/v2.0/devicecode`` and the older one, and the grant that polls."""

    def __init__(self, tokens: UserTokens) -> None:
        self._tokens = tokens
        self._by_device_code: dict[str, DeviceAuthorization] = {}

    def find(self, user_code: str, *, now: float) -> DeviceAuthorization:
        """
        Return the device that shows *user_code*; blanks, dashes and the case of letters don't matter.

        Raises:
            AadstsError: 90119 for no code, 70018 for one that is unknown or has expired, 90120 for one already used.
        """
        wanted = user_code.replace(" ", "").replace("-", "").upper()
        if not wanted:
            raise AadstsError(90119)
        found = [code for code in self._by_device_code.values() if code.user_code == wanted]
        if not found or now >= found[0].expires_on:
            raise AadstsError(70018)
        if found[0].settled:
            raise AadstsError(90120)
        return found[0]

    async def v1(self, request: web.Request) -> web.Response:
        """Handle a request to the older endpoint, which takes a ``resource`` and writes numbers as texts."""
        return await self._start(request, version=1)

    async def v2(self, request: web.Request) -> web.Response:
        """Handle a request to the endpoint that takes a ``scope``."""
        return await self._start(request, version=2)

    async def _start(self, request: web.Request, *, version: int) -> web.Response:
        requested = await read_token_request(request, version=version, now=self._tokens.access.clock.now())
        tenant = self._tokens.tenant
        if requested.tenant.lower() not in ALIASES and not tenant.is_named(requested.tenant):
            raise AadstsError(90002, tenant=requested.tenant)
        client_id = requested.required("client_id")
        app = tenant.find_app(client_id)
        if app is None:
            raise AadstsError(700016, client_id=client_id, tenant=requested.tenant)
        if app.disabled:
            raise AadstsError(7000112, client_id=app.client_id)
        check_tenant(requested.tenant, app)
        oidc, resources = self._tokens.read_scopes(requested, app)
        resource = only_resource(requested, resources)
        resource.wanted(app)  # refuses a resource the registration does not list
        code = DeviceAuthorization(
            app=app,
            oidc=oidc,
            requested=resource,
            scope=requested.form.get("scope") if version == 2 else None,
            expires_on=requested.now + _LIFE_S,
        )
        device_code = secrets.token_urlsafe(120)
        self._by_device_code[device_code] = code
        page = f"{requested.authority}/common/oauth2/deviceauth"
        body: dict[str, Any] = {
            "user_code": code.user_code,
            "device_code": device_code,
            "verification_url" if version == 1 else "verification_uri": page,
            "expires_in": str(_LIFE_S) if version == 1 else _LIFE_S,
            "interval": str(_INTERVAL_S) if version == 1 else _INTERVAL_S,
            "message": (
                f"To sign in, use a web browser to open the page {page} and enter the code {code.user_code} to "
                "authenticate."
            ),
        }
        return web.json_response(body, headers=no_store_headers(secrets.token_hex(16)))

    async def grant(self, request: TokenEndpointRequest) -> dict[str, Any]:
        """
        Return the response to a poll.

        Raises:
            AadstsError: If there is nothing to hand out, or the request is wrong.
        """
        request.check_grant_parameters("device_code", "code")
        text = request.required("device_code" if request.version == 2 else "code")
        app, client_authentication = await self._tokens.authenticate(request)
        check_tenant(request.tenant, app)
        self._tokens.check_origin(request)
        code = self._by_device_code.get(text)
        if code is None:
            raise AadstsError(70018)
        if code.app is not app:
            raise AadstsError(70000, suberror="client_mismatch", reason="The code was issued to another application.")
        signed_in = code.poll(now=request.now)
        response = self._tokens.token_response(
            request, signed_in, code.requested, client_authentication=client_authentication
        )
        code.redeemed = True
        return response
