"""
The documents in which Entra ID describes itself: OpenID configuration, keys, and the clouds it knows.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols-oidc
    OpenID Connect Discovery 1.0, section 3: https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from aiohttp import web

from entra_async.testing.entra.errors import AadstsError
from entra_async.testing.entra.tenant import ALIASES, MSA_TENANT_ID

if TYPE_CHECKING:
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer

__all__ = ("Metadata",)

_CACHE_HEADERS: Final = {"Cache-Control": "max-age=86400, private"}

# What Microsoft's own response lists, shortened to the clouds that still sign users in.
_CLOUDS: Final[tuple[dict[str, Any], ...]] = (
    {
        "preferred_network": "login.microsoftonline.com",
        "preferred_cache": "login.windows.net",
        "aliases": ["login.microsoftonline.com", "login.windows.net", "login.microsoft.com", "sts.windows.net"],
    },
    {
        "preferred_network": "login.partner.microsoftonline.cn",
        "preferred_cache": "login.partner.microsoftonline.cn",
        "aliases": ["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
    },
    {
        "preferred_network": "login.microsoftonline.us",
        "preferred_cache": "login.microsoftonline.us",
        "aliases": ["login.microsoftonline.us", "login.usgovcloudapi.net"],
    },
)


class Metadata:
    """Handles the metadata documents of one tenant, and of the aliases that stand for any."""

    def __init__(self, tokens: AccessTokenIssuer) -> None:
        self._tokens = tokens

    async def openid_v1(self, request: web.Request) -> web.Response:
        """Handle ``/{tenant}/.well-known/openid-configuration``."""
        tenant = self._tenant(request)
        root = f"https://{request.host}/{tenant}"
        document = {
            "token_endpoint": f"{root}/oauth2/token",
            "jwks_uri": f"{root}/discovery/keys",
            "issuer": f"https://sts.windows.net/{_issuer_tenant(tenant)}/",
            "authorization_endpoint": f"{root}/oauth2/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/devicecode",
            "end_session_endpoint": f"{root}/oauth2/logout",
        }
        return web.json_response(document | _capabilities(), headers=_CACHE_HEADERS)

    async def openid_v2(self, request: web.Request) -> web.Response:
        """Handle ``/{tenant}/v2.0/.well-known/openid-configuration``."""
        tenant = self._tenant(request)
        root = f"https://{request.host}/{tenant}"
        document = {
            "token_endpoint": f"{root}/oauth2/v2.0/token",
            "jwks_uri": f"{root}/discovery/v2.0/keys",
            "issuer": f"https://{request.host}/{_issuer_tenant(tenant)}/v2.0",
            "authorization_endpoint": f"{root}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{root}/oauth2/v2.0/devicecode",
            "end_session_endpoint": f"{root}/oauth2/v2.0/logout",
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "kerberos_endpoint": f"{root}/kerberos",
        }
        return web.json_response(document | _capabilities(), headers=_CACHE_HEADERS)

    async def keys(self, request: web.Request) -> web.Response:
        """Handle ``/{tenant}/discovery/v2.0/keys`` and the v1.0 path: the keys that sign tokens."""
        self._tenant(request)
        return web.json_response(self._tokens.key.jwks(self._tokens.issuer), headers=_CACHE_HEADERS)

    async def instance_discovery(self, request: web.Request) -> web.Response:
        """Handle ``/common/discovery/instance``: whether a sign-in host is one of Microsoft's, or this one."""
        version = request.query.get("api-version")
        endpoint = request.query.get("authorization_endpoint")
        if version not in {"1.0", "1.1"}:
            raise AadstsError(900144, parameter="api-version")
        if not endpoint:
            raise AadstsError(900144, parameter="authorization_endpoint")
        try:
            parts = urlsplit(endpoint)
        except ValueError as error:  # an unclosed bracket, say
            raise AadstsError(50050, parameter="authorization_endpoint") from error
        tenant = parts.path.strip("/").partition("/")[0]
        if parts.scheme != "https" or not parts.hostname or not tenant:
            raise AadstsError(50050, parameter="authorization_endpoint")
        own = {"preferred_network": request.host, "preferred_cache": request.host, "aliases": [request.host]}
        clouds = [*_CLOUDS, own]
        if not any(parts.netloc.lower() in cloud["aliases"] for cloud in clouds):
            raise AadstsError(50049)
        document: dict[str, Any] = {
            "tenant_discovery_endpoint": f"https://{parts.netloc}/{tenant}/v2.0/.well-known/openid-configuration"
        }
        if version == "1.1":
            document |= {"api-version": "1.1", "metadata": clouds}
        return web.json_response(document, headers=_CACHE_HEADERS)

    def _tenant(self, request: web.Request) -> str:
        # For a domain the document names the GUID, an alias stays as it is: what Entra ID does.
        segment = request.match_info["tenant"].lower()
        if self._tokens.tenant.is_named(segment):
            return self._tokens.tenant.id
        if segment in ALIASES:
            return segment
        raise AadstsError(90002, error="invalid_tenant", tenant=segment)


def _issuer_tenant(tenant: str) -> str:
    if tenant == "consumers":
        return MSA_TENANT_ID
    # The braces are literal: whose tenant it is shows only in the token.
    return "{tenantid}" if tenant in {"common", "organizations"} else tenant


def _capabilities() -> dict[str, Any]:
    return {
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
        "response_modes_supported": ["query", "fragment", "form_post"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "claims_supported": [
            *("sub", "iss", "cloud_instance_name", "cloud_instance_host_name", "cloud_graph_host_name"),
            *("msgraph_host", "aud", "exp", "iat", "auth_time", "acr", "nonce", "preferred_username", "name", "tid"),
            *("ver", "at_hash", "c_hash", "email"),
        ],
        "request_uri_parameter_supported": False,
        "http_logout_supported": True,
        "frontchannel_logout_supported": True,
        "tenant_region_scope": "WW",
        "cloud_instance_name": "microsoftonline.com",
        "cloud_graph_host_name": "graph.windows.net",
        "msgraph_host": "graph.microsoft.com",
        "rbac_url": "https://pas.windows.net",
    }
