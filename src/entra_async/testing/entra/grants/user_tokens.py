"""
The tokens an app gets for a user, whichever way the user signed in.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-oauth2-auth-code-flow
    https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.permissions import read_resource, read_scopes
from entra_async.testing.entra.tenant import ALIASES, MSA_TENANT_ID
from entra_async.testing.entra.tokens.id_tokens import client_info, id_token_claims, pairwise_subject
from entra_async.testing.entra.tokens.refresh_tokens import UserSignIn

if TYPE_CHECKING:
    from collections.abc import Iterable

    from entra_async.testing.entra.accounts import Accounts, User
    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.grants.client_authentication import ClientAuthenticator
    from entra_async.testing.entra.grants.token_request import TokenEndpointRequest
    from entra_async.testing.entra.permissions import ResourceScopes
    from entra_async.testing.entra.resource_servers import Permission
    from entra_async.testing.entra.tenant import Tenant
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer
    from entra_async.testing.entra.tokens.refresh_tokens import RefreshTokenStore

__all__ = ("UserTokens", "check_tenant", "only_resource", "wanted_permissions")

_GRAPH: Final = "00000003-0000-0000-c000-000000000000"
_V1_OIDC: Final = frozenset({"openid", "profile", "offline_access"})  # the older endpoint gives all of it unasked


def check_tenant(segment: str, app: App) -> None:
    """
    Check that users may sign in to *app* through the tenant a URL names.

    Raises:
        AadstsError: 9002332 on ``consumers``, 50194 on an alias the app is not made for.
    """
    if segment.lower() in {"consumers", MSA_TENANT_ID}:
        raise AadstsError(9002332, client_id=app.client_id)
    if segment.lower() in ALIASES and not app.multi_tenant:
        raise AadstsError(50194, client_id=app.client_id)


def only_resource(request: TokenEndpointRequest, requested: tuple[ResourceScopes, ...]) -> ResourceScopes:
    """
    Return the one resource that a request for a token may name.

    Raises:
        AadstsError: 28000 if it names several.
    """
    if len(requested) > 1:
        raise AadstsError(28000, scope=request.form.get("scope", ""))
    return requested[0]


def wanted_permissions(app: App, requested: Iterable[ResourceScopes], oidc: frozenset[str]) -> frozenset[Permission]:
    """
    Return every permission the app must have been granted to get what it requests.

    Raises:
        AadstsError: 650057 if it requests its registered permissions where it has none.
    """
    return frozenset(("", name) for name in oidc).union(*(part.wanted(app) for part in requested))


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTokens:
    """What the grants for users have in common: the sign-in, and the token response."""

    access: AccessTokenIssuer
    accounts: Accounts
    authenticate: ClientAuthenticator
    refresh_tokens: RefreshTokenStore

    @property
    def tenant(self) -> Tenant:
        """The tenant."""
        return self.access.tenant

    def check_origin(self, request: TokenEndpointRequest, *, single_page: bool = False) -> None:
        """
        Check that a browser's script calls exactly when a single-page application signed in.

        Raises:
            AadstsError: 9002326 or 9002327 if not.
        """
        if request.origin and not single_page:
            raise AadstsError(9002326, origin=request.origin)
        if single_page and not request.origin:
            raise AadstsError(9002327)

    def read_scopes(
        self, request: TokenEndpointRequest, app: App, *, granted: UserSignIn | None = None
    ) -> tuple[frozenset[str], tuple[ResourceScopes, ...]]:
        """
        Return the OpenID Connect scopes and the resource scopes of a request.

        Args:
            request: The request; v1.0 names a ``resource``, v2.0 scopes.
            app: The caller.
            granted: What was requested when the user signed in, and holds when this request names nothing.

        Raises:
            AadstsError: If nothing is named, or what is named does not exist.
        """
        if request.version == 1:
            named = request.form.get("resource")
            if named is None:
                named = granted.audience if granted else request.required("resource")
            return _V1_OIDC, (read_resource(named, self.tenant),)
        if "resource" in request.form:
            raise AadstsError(901002)
        scope = request.form.get("scope")
        if scope is None and granted is None:
            scope = request.required("scope")
        if scope is None and granted is not None:
            scope = granted.scope
            if scope is None:
                return granted.oidc, (read_resource(granted.audience, self.tenant),)
        requested = read_scopes(scope or "", app, self.tenant)
        return requested.oidc, requested.resources

    def sign_in(
        self,
        request: TokenEndpointRequest,
        user: User,
        app: App,
        oidc: frozenset[str],
        resource: ResourceScopes,
        *,
        mfa: bool,
    ) -> UserSignIn:
        """
        Return the sign-in that a token request is by itself, without a page.

        Args:
            request: The request.
            user: Who signs in.
            app: To which app.
            oidc: The OpenID Connect scopes requested.
            resource: The other scopes requested.
            mfa: Whether a second factor was passed.
        """
        return UserSignIn(
            user=user,
            app=app,
            oidc=oidc,
            audience=resource.audience,
            scope=request.form.get("scope") if request.version == 2 else None,
            mfa=mfa,
            at=request.now,
            security_stamp=user.security_stamp,
        )

    def token_response(
        self,
        request: TokenEndpointRequest,
        signed_in: UserSignIn,
        requested: ResourceScopes,
        *,
        client_authentication: str,
        refresh_token_expires_on: float | None = None,
    ) -> dict[str, Any]:
        """
        Return the response with every token the app may have.

        Args:
            request: The request.
            signed_in: Who signed in to which app.
            requested: The resource the access token is for.
            client_authentication: How the app proved itself: ``"0"`` not, ``"1"`` secret, ``"2"`` certificate.
            refresh_token_expires_on: When the refresh token ends, if an older one decides it.

        Raises:
            AadstsError: 65001 if the app lacks consent.
        """
        app, user, now = signed_in.app, signed_in.user, int(request.now)
        if not wanted_permissions(app, (requested,), signed_in.oidc) <= app.granted(user.id):
            raise AadstsError(65001, suberror="consent_required", client_id=app.client_id, name=app.name)
        # As Entra ID does, all that was consented to for the resource is in the token, not only what is requested.
        names = {name for resource, name in app.granted(user.id) if resource == requested.resource.app_id}
        oidc = sorted(signed_in.oidc - {"offline_access"}) if requested.resource.app_id == _GRAPH else []
        token = self.access.issue_user_token(
            user,
            app,
            subject=pairwise_subject(user, requested.resource.app_id, self.tenant.id),
            client_authentication=client_authentication,
            audience=requested.audience,
            scopes=[*sorted(names), *oidc],
            mfa=signed_in.mfa,
            requested_claims=request.requested_claims,
        )
        response: dict[str, Any] = {
            "token_type": "Bearer",
            "scope": " ".join(filter(None, [requested.written(names), *oidc])),
            "expires_in": token.expires_in,
            "ext_expires_in": token.expires_in,
            "access_token": token.access_token,
        }
        if request.version == 1:
            response |= {
                "scope": " ".join(sorted(names)),
                "expires_in": str(token.expires_in),
                "ext_expires_in": str(token.expires_in),
                "expires_on": str(token.expires_on),
                "not_before": str(token.not_before),
                "resource": token.audience,
            }
        elif self.access.lifetimes.refresh_in_s is not None:
            response["refresh_in"] = self.access.lifetimes.refresh_in_s
        if "offline_access" in signed_in.oidc:
            response["refresh_token"] = self.refresh_tokens.issue(
                signed_in, now=request.now, expires_on=refresh_token_expires_on
            )
        if "openid" in signed_in.oidc:
            claims = id_token_claims(
                user,
                version=request.version,
                host=urlsplit(request.url).netloc,
                tenant_id=self.tenant.id,
                client_id=app.client_id,
                nonce=signed_in.nonce,
                now=now,
            )
            response["id_token"] = self.access.key.sign(claims)
        if request.form.get("client_info") == "1":
            response["client_info"] = client_info(user, self.tenant.id)
        return response
