"""
One request to the authorize endpoint, read as strictly as Entra ID reads it, and where its response goes.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols-oidc
    RFC 7636, section 4.3: https://www.rfc-editor.org/rfc/rfc7636#section-4.3
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urlsplit, urlunsplit

from aiohttp import web

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.grants.authorization_codes import CodeChallenge
from entra_async.testing.entra.grants.token_request import parse_claims
from entra_async.testing.entra.grants.user_tokens import check_tenant
from entra_async.testing.entra.pages.layout import page_headers, post_page
from entra_async.testing.entra.permissions import read_resource, read_scopes
from entra_async.testing.entra.redirect_uris import is_registered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.permissions import ResourceScopes
    from entra_async.testing.entra.tenant import Tenant

__all__ = ("AuthorizationRequest", "RedirectTarget", "read_authorization_request", "read_redirect_target")

_PROMPTS: Final = frozenset({"login", "none", "consent", "select_account"})
_RESPONSE_MODES: Final = frozenset({"query", "fragment", "form_post"})
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9._~-]+")  # RFC 7636, section 4.2
_V1_OIDC: Final = frozenset({"openid", "profile", "offline_access"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RedirectTarget:
    """
    Where and how the authorization response goes back to the app.

    Attributes:
        app: The app.
        redirect_uri: As the request named it, and registered.
        response_mode: ``query``, ``fragment`` or ``form_post``.
        state: To be sent back unchanged, if it was sent.
        single_page: Whether the URI is registered for a single-page application.
    """

    app: App
    redirect_uri: str
    response_mode: str
    state: str | None
    single_page: bool

    def response(self, fields: Mapping[str, str]) -> web.Response:
        """Return the response that sends the browser back with these fields."""
        if self.response_mode == "form_post":
            return web.Response(
                text=post_page(self.redirect_uri, fields), content_type="text/html", headers=page_headers()
            )
        parts = urlsplit(self.redirect_uri)
        encoded = urlencode(fields)
        path = parts.path or "/"  # what is registered without a path gets one when used
        if self.response_mode == "fragment":
            location = urlunsplit(parts._replace(path=path, fragment=encoded))
        else:
            location = urlunsplit(parts._replace(path=path, query="&".join(filter(None, [parts.query, encoded]))))
        return web.Response(status=302, headers={"Location": location, **page_headers()})

    def error_response(self, error: AadstsError, request: web.Request, *, now: float) -> web.Response:
        """Return the error response for the app."""
        body = error.body(request, now=now)
        fields = {name: str(body[name]) for name in ("error", "error_description", "error_uri")}
        return self.response({**fields, **self._echo()})

    def cancelled_response(self) -> web.Response:
        """Return the error response for a user who cancelled."""
        return self.response({"error": "access_denied", "error_subcode": "cancel", **self._echo()})

    def code_response(self, code: str, *, client_info: str | None, session_state: str) -> web.Response:
        """Return the response with the authorization code."""
        fields = {"code": code}
        if client_info is not None:
            fields["client_info"] = client_info
        return self.response({**fields, **self._echo(), "session_state": session_state})

    def _echo(self) -> dict[str, str]:
        return {} if self.state is None else {"state": self.state}


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizationRequest:
    """
    An authorization request: what an app sent to the authorize endpoint.

    Attributes:
        oidc: The scopes of OpenID Connect.
        requested: The scopes requested of each resource server.
        scope: The scopes as the app wrote them; ``None`` on v1.0.
        prompt: ``login``, ``none``, ``consent``, ``select_account``, or empty.
        login_hint: The user name expected, or empty.
        nonce: For the ID token.
        challenge: The PKCE challenge.
        client_info: Whether ``client_info`` is wanted.
    """

    oidc: frozenset[str]
    requested: tuple[ResourceScopes, ...]
    scope: str | None
    prompt: str
    login_hint: str
    nonce: str | None
    challenge: CodeChallenge | None
    client_info: bool


def read_redirect_target(request: web.Request, tenant: Tenant) -> RedirectTarget:
    """
    Return where the response goes. Until that is known nothing may be sent back: the errors are pages.

    Raises:
        AadstsError: If a parameter is repeated, the app is unknown (700016), disabled or not for this tenant, or the
            redirect URI is not one of its own (50011).
    """
    sent = request.query
    if len(set(sent)) != len(sent):
        raise AadstsError(9002313, reason="A parameter is given more than once.")
    for name in ("client_id", "redirect_uri"):
        if not sent.get(name):
            raise AadstsError(900144, parameter=name)
    segment = request.match_info["tenant"]
    app = tenant.find_app(sent["client_id"])
    if app is None:
        raise AadstsError(700016, client_id=sent["client_id"], tenant=segment)
    if app.disabled:
        raise AadstsError(7000112, client_id=app.client_id)
    check_tenant(segment, app)
    redirect_uri = sent["redirect_uri"]
    single_page = is_registered(redirect_uri, app.spa_redirect_uris)
    if not single_page and not is_registered(redirect_uri, app.redirect_uris):
        raise AadstsError(50011, redirect_uri=redirect_uri, client_id=app.client_id)
    mode = sent.get("response_mode", "")
    return RedirectTarget(
        app=app,
        redirect_uri=redirect_uri,
        response_mode=mode if mode in _RESPONSE_MODES else "query",
        state=sent.get("state"),
        single_page=single_page,
    )


def read_authorization_request(
    sent: Mapping[str, str], target: RedirectTarget, tenant: Tenant, *, version: int
) -> AuthorizationRequest:
    """
    Return the request.

    Raises:
        AadstsError: If it is not right; the error goes to its redirect URI.
    """
    _check_response_type(sent)
    prompt = sent.get("prompt", "")
    if prompt and prompt not in _PROMPTS:
        raise AadstsError(90023)
    if prompt == "select_account" and sent.get("login_hint"):
        raise AadstsError(9002313, reason="'login_hint' and 'prompt=select_account' exclude each other.")
    parse_claims(sent.get("claims") or None)  # an error if malformed, and otherwise without effect
    challenge = _read_challenge(sent)
    if target.single_page and challenge is None:
        raise AadstsError(9002325)
    if version == 2 and "resource" in sent:
        raise AadstsError(901002)
    wanted = "scope" if version == 2 else "resource"
    if not sent.get(wanted):
        raise AadstsError(900144, parameter=wanted)
    if version == 2:
        read = read_scopes(sent["scope"], target.app, tenant)
        oidc, requested = read.oidc, read.resources
    else:
        oidc, requested = _V1_OIDC, (read_resource(sent["resource"], tenant),)
    for part in requested:
        part.wanted(target.app)  # refuses a resource the registration does not list
    return AuthorizationRequest(
        oidc=oidc,
        requested=requested,
        scope=sent["scope"] if version == 2 else None,
        prompt=prompt,
        login_hint=sent.get("login_hint", ""),
        nonce=sent.get("nonce"),
        challenge=challenge,
        client_info=sent.get("client_info") == "1",
    )


def _check_response_type(sent: Mapping[str, str]) -> None:
    response_type = sent.get("response_type", "")
    if not response_type:
        raise AadstsError(900144, parameter="response_type")
    types = frozenset(response_type.split())
    if not types <= {"code", "id_token", "token"}:
        raise AadstsError(70005, response_type=response_type)
    mode = sent.get("response_mode", "")
    if mode and mode not in _RESPONSE_MODES:
        raise AadstsError(70007, response_mode=mode)
    if types != {"code"} and mode == "query":
        raise AadstsError(70007, response_mode=mode)
    # The implicit grant is switched off in every registration here, as Entra ID does by default.
    if "id_token" in types:
        raise AadstsError(700054)
    if "token" in types:
        raise AadstsError(700051)


def _read_challenge(sent: Mapping[str, str]) -> CodeChallenge | None:
    value, method = sent.get("code_challenge"), sent.get("code_challenge_method")
    if value is None:
        if method is not None:
            raise AadstsError(501491, reason="There is a method without a challenge.")
        return None
    if not 43 <= len(value) <= 128:
        raise AadstsError(50147)
    if _CHALLENGE.fullmatch(value) is None:
        raise AadstsError(501491, reason="The challenge holds a letter it may not.")
    if method not in {None, "S256", "plain"}:
        raise AadstsError(501491, reason="The method is neither S256 nor plain.")
    return CodeChallenge(value, method or "plain")
