"""Entra ID as a web application: its routes, and how its errors become responses."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from aiohttp import web

from entra_async.testing.entra.errors import ERRORS, AadstsError
from entra_async.testing.entra.grants.authorization_codes import AuthorizationCodes
from entra_async.testing.entra.grants.client_authentication import ClientAuthenticator
from entra_async.testing.entra.grants.client_credentials import grant_client_credentials
from entra_async.testing.entra.grants.device_codes import DeviceCodes
from entra_async.testing.entra.grants.federation import Federation
from entra_async.testing.entra.grants.on_behalf_of import on_behalf_of_grant
from entra_async.testing.entra.grants.password import password_grant
from entra_async.testing.entra.grants.refresh_token import refresh_token_grant
from entra_async.testing.entra.grants.token_endpoint import TokenEndpoint
from entra_async.testing.entra.grants.user_tokens import UserTokens
from entra_async.testing.entra.metadata import Metadata
from entra_async.testing.entra.pages.authorize import AuthorizeEndpoint
from entra_async.testing.entra.pages.browser_sessions import BrowserSessions
from entra_async.testing.entra.pages.device import DevicePage
from entra_async.testing.entra.pages.html import error_page
from entra_async.testing.entra.pages.sign_in import SignInPages, page_response
from entra_async.testing.entra.tokens.refresh_tokens import RefreshTokenStore
from entra_async.testing.entra.user_realm import UserRealm
from entra_async.testing.faults.responses import ERROR_FORMAT

if TYPE_CHECKING:
    import ssl

    from aiohttp.typedefs import Handler

    from entra_async.testing.entra.accounts import Accounts
    from entra_async.testing.entra.grants.token_endpoint import Grant
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer

__all__ = ("identity_application",)

_GRANT_TYPE: Final = "urn:ietf:params:oauth:grant-type:"
_SHOWN: Final = {"Request Id": "trace_id", "Correlation Id": "correlation_id", "Timestamp": "timestamp"}


def identity_application(access: AccessTokenIssuer, accounts: Accounts, tls: ssl.SSLContext) -> web.Application:
    """
    Return the sign-in service.

    Args:
        access: What issues its access tokens.
        accounts: The users who can sign in.
        tls: Trusts the other issuers, whose keys are fetched from them.
    """
    tenant, clock = access.tenant, access.clock
    federation = Federation(tenant=tenant, key=access.key, own_issuer=access.issuer, tls=tls)
    authenticate = ClientAuthenticator(tenant=tenant, federation=federation)
    tokens = UserTokens(access=access, accounts=accounts, authenticate=authenticate, refresh_tokens=RefreshTokenStore())

    @web.middleware
    async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except AadstsError as error:
            return error.response(request, now=clock.now())

    def page(handler: Handler) -> Handler:
        async def show(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except AadstsError as error:
                body = error.body(request, now=clock.now())
                details = {label: str(body[name]) for label, name in _SHOWN.items()}
                return page_response(error_page(str(error), details), status=400)

        return show

    codes, devices = AuthorizationCodes(tokens), DeviceCodes(tokens)
    pages = SignInPages(accounts, BrowserSessions(), clock)
    authorize, device_page = AuthorizeEndpoint(tenant, clock, pages, codes), DevicePage(clock, pages, devices)
    grants: dict[str, Grant] = {
        "authorization_code": codes.grant,
        "client_credentials": partial(grant_client_credentials, tokens=access, authenticate=authenticate),
        "password": partial(password_grant, tokens=tokens),
        "refresh_token": partial(refresh_token_grant, tokens=tokens),
        f"{_GRANT_TYPE}device_code": devices.grant,
        f"{_GRANT_TYPE}jwt-bearer": partial(on_behalf_of_grant, tokens=tokens),
    }
    endpoint = TokenEndpoint(tenant, clock, grants)
    metadata, realm = Metadata(access), UserRealm(tenant)
    application = web.Application(middlewares=[handle_errors])
    application[ERROR_FORMAT] = ERRORS
    application.add_routes(
        [
            # Every method leads to the endpoints that take a form: they handle_errors all but POST in their own words.
            web.route("*", "/{tenant}/oauth2/v2.0/token", endpoint.v2),
            web.route("*", "/{tenant}/oauth2/token", endpoint.v1),
            web.route("*", "/{tenant}/oauth2/v2.0/devicecode", devices.v2),
            web.route("*", "/{tenant}/oauth2/devicecode", devices.v1),
            web.get("/{tenant}/oauth2/v2.0/authorize", page(authorize.v2), allow_head=False),
            web.get("/{tenant}/oauth2/authorize", page(authorize.v1), allow_head=False),
            web.get("/{tenant}/oauth2/v2.0/logout", pages.sign_out, allow_head=False),
            web.post("/common/login/{step}", page(pages.step)),
            web.get("/common/oauth2/deviceauth", device_page.show, allow_head=False),
            web.post("/common/oauth2/deviceauth", page(device_page.enter)),
            web.get("/common/userrealm/{user}", realm.handle),
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", metadata.openid_v2),
            web.get("/{tenant}/.well-known/openid-configuration", metadata.openid_v1),
            web.get("/common/discovery/instance", metadata.instance_discovery),
            web.get("/{tenant}/discovery/v2.0/keys", metadata.keys),
            web.get("/{tenant}/discovery/keys", metadata.keys),
        ]
    )
    return application
