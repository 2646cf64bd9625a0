"""
The emulated Key Vault: reading secrets over its REST API.

Nobody may write with a token: the owner's methods on :class:`entra_async.testing.key_vault.vault.Vault` do that.

Sources:
    https://learn.microsoft.com/en-us/rest/api/keyvault/secrets/operation-groups
    https://learn.microsoft.com/en-us/azure/key-vault/general/authentication-requests-and-responses
    https://learn.microsoft.com/en-us/azure/key-vault/general/rest-error-codes
    https://learn.microsoft.com/en-us/azure/key-vault/general/service-limits
"""

from __future__ import annotations

import base64
import re
import uuid
from collections.abc import Mapping
from email.utils import formatdate
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import msgspec
from aiohttp import web

from entra_async.testing.entra.resource_servers import ResourceServer
from entra_async.testing.entra.tokens.access import Access, Authorize, Unauthorized
from entra_async.testing.key_vault.vault import SecretVersion, Vault, is_secret_name
from entra_async.testing.odata.skiptoken import ForgedTokenError, PagePosition, SkipTokens
from entra_async.testing.wire.service_error import ServiceError

if TYPE_CHECKING:
    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.limits.throttle import Throttle

__all__ = ("AZURE_KEY_VAULT", "key_vault_application")

AZURE_KEY_VAULT: Final = ResourceServer(
    app_id="cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
    identifiers=frozenset({"https://vault.azure.net"}),
    scopes=frozenset({"user_impersonation"}),
)
"""Key Vault as Entra ID knows it."""

_API_VERSIONS: Final = frozenset({"2016-10-01", "7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6"})
# From 2025 on versions are dated; clients are ahead of what is documented, so any date from then on is taken.
_DATED_VERSION: Final = re.compile(r"(202[5-9]|20[3-9]\d)-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])(-preview)?")
_VERSION: Final = re.compile(r"[0-9a-f]{32}")
_PERMISSIONS: Final = {"PUT": "set", "PATCH": "set", "DELETE": "delete", "POST": "restore"}
_LARGEST_PAGE: Final = 25
_BACKDATED_S: Final = 300  # how far back Entra ID dates its tokens


class _VaultError(ServiceError):
    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        inner: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, code, message, headers=headers)
        self.body: dict[str, Any] = {"error": {"code": code, "message": message}}
        if inner is not None:
            self.body["error"]["innererror"] = {"code": inner}


def key_vault_application(
    *, vault: Vault, tenant_id: str, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
) -> web.Application:
    """
    Return the vault as an aiohttp application.

    Args:
        vault: What it holds.
        tenant_id: The tenant whose tokens it takes.
        authorize: Judges the access token of each request.
        clock: Dates the responses, and decides what has expired.
        throttle: Consulted once per request, for the service ``"key_vault"``.
    """
    application = web.Application()
    service = _KeyVault(vault, tenant_id, authorize, clock, throttle)
    application.router.add_route("*", "/{path:.*}", service.handle)
    return application


class _KeyVault:
    def __init__(
        self, vault: Vault, tenant_id: str, authorize: Authorize, clock: EmulatorClock, throttle: Throttle
    ) -> None:
        self._vault = vault
        self._tenant_id = tenant_id
        self._authorize = authorize
        self._clock = clock
        self._throttle = throttle
        self._skiptokens = SkipTokens(PagePosition)

    async def handle(self, request: web.Request) -> web.Response:
        """Handle any request."""
        try:
            response = _json(200, self._route(request, self._admit(request)))
        except _VaultError as error:
            response = _json(error.status, error.body)
            response.headers.update(error.headers)
        response.headers.update(
            {
                "Cache-Control": "no-cache",
                "Date": formatdate(self._clock.now(), usegmt=True),
                "x-ms-keyvault-region": "westeurope",
                "x-ms-request-id": str(uuid.uuid4()),
                "x-ms-keyvault-service-version": "1.9.2000.1",
                "x-ms-keyvault-network-info": "conn_type=Ipv4;addr=127.0.0.1;act_addr_fam=InterNetwork;",
            }
        )
        if sent_id := request.headers.get("x-ms-client-request-id"):
            response.headers["x-ms-client-request-id"] = sent_id
        return response

    def _admit(self, request: web.Request) -> Access:
        # Whoever has no token learns nothing, not even which secrets there are.
        if not request.headers.get("Authorization", "").strip():
            message = "AKV10000: Request is missing a Bearer or PoP token."
            raise self._challenge(message)
        try:
            access = self._authorize(request, AZURE_KEY_VAULT.audiences)
        except Unauthorized as reason:
            raise self._challenge(_explain(reason.message)) from reason
        revoked_at = self._vault.behaviour.revoked_at
        if revoked_at is not None and "xms_cc" in access.claims and access.claims["nbf"] + _BACKDATED_S < revoked_at:
            claims = {"access_token": {"nbf": {"essential": True, "value": str(int(revoked_at))}}}
            encoded = base64.b64encode(msgspec.json.encode(claims)).decode()
            message = "AKV10138: Continuous access evaluation resulted in a challenge."
            raise self._challenge(message, f', error="insufficient_claims", claims="{encoded}"')
        decision = self._throttle.take("key_vault", _app_id(access))
        if not decision.allowed:
            headers = {} if decision.retry_after is None else {"Retry-After": decision.retry_after}
            message = "Request was not processed because too many requests were received."
            raise _VaultError(429, "Throttled", message, headers=headers)
        if self._vault.behaviour.firewalled:
            message = "Client address is not authorized and caller is not a trusted service."
            raise _VaultError(403, "Forbidden", message, inner="ForbiddenByFirewall")
        version = request.query.get("api-version")
        if version is None:
            raise _VaultError(400, "BadParameter", "api-version must be specified")
        if version not in _API_VERSIONS and not _DATED_VERSION.fullmatch(version):
            raise _VaultError(400, "BadParameter", f"The specified version ({version}) is not recognized.")
        return access

    def _challenge(self, message: str, more: str = "") -> _VaultError:
        authorization = f"https://login.microsoftonline.com/{self._tenant_id}"
        challenge = f'Bearer authorization="{authorization}", resource="https://vault.azure.net"{more}'
        return _VaultError(401, "Unauthorized", message, headers={"WWW-Authenticate": challenge})

    def _route(self, request: web.Request, access: Access) -> dict[str, Any]:
        path = [unquote(segment) for segment in request.rel_url.raw_path.strip("/").split("/")]
        if path[0].lower() not in {"secrets", "deletedsecrets"} or len(path) > 3:
            raise _VaultError(404, "NotFound", "The requested resource was not found.")
        if path[0].lower() == "deletedsecrets" or request.method != "GET":
            raise self._denied(access, _PERMISSIONS.get(request.method, "get"), path[0])
        if len(path) == 1:
            self._require(access, "list", path[0])
            entries = [(name, self._vault.versions(name)[-1], False) for name in self._vault.names()]
            return self._page(request, entries)
        name = path[1]
        if not is_secret_name(name):
            message = f"The request URI contains an invalid name: {name}"
            raise _VaultError(400, "BadParameter", message)
        if len(path) == 3 and path[2].lower() == "versions":
            self._require(access, "list", f"{path[0]}/{name}")
            versions = self._vault.versions(name)
            # Versions come in no order that means anything; here in that of their ids.
            ordered = sorted(versions, key=lambda each: each.version)
            return self._page(request, [(name.lower(), each, True) for each in ordered])
        self._require(access, "get", f"{path[0]}/{name}")
        return self._get(request, name, path[2] if len(path) == 3 else "")

    def _require(self, access: Access, permission: str, where: str) -> None:
        delegated = access.app_only or "user_impersonation" in access.roles
        if not delegated or not self._vault.is_allowed(_app_id(access), permission):
            raise self._denied(access, permission, where)

    def _denied(self, access: Access, permission: str, where: str) -> _VaultError:
        caller = f"appid={_app_id(access)};oid={access.claims.get('oid')};iss={access.claims.get('iss')}"
        message = (
            f"The user, group or application '{caller}' does not have secrets {permission} permission on key vault "
            f"'{self._vault.name};location=westeurope' ({where})."
        )
        return _VaultError(403, "Forbidden", message, inner="AccessDenied")

    def _get(self, request: web.Request, name: str, version: str) -> dict[str, Any]:
        if version and not _VERSION.fullmatch(version.lower()):
            raise _VaultError(400, "BadParameter", f"The request URI contains an invalid version: {version}")
        versions = self._vault.versions(name)
        if not versions or (version and all(each.version != version.lower() for each in versions)):
            wanted = f"{name}/{version}" if version else name
            message = (
                f"A secret with (name/id) {wanted} was not found in this key vault. If you recently deleted this "
                "secret you may be able to recover it using the correct recovery command. For help resolving this "
                "issue, please see https://go.microsoft.com/fwlink/?linkid=2125182"
            )
            raise _VaultError(404, "SecretNotFound", message)
        found = next(each for each in reversed(versions) if version.lower() in ("", each.version))
        now = self._clock.now()
        if not found.enabled:
            message = "Operation get is not allowed on a disabled secret."
            raise _VaultError(403, "Forbidden", message, inner="SecretDisabled")
        if found.not_before is not None and now < found.not_before:
            message = "Operation get is not allowed on a secret that is not yet valid."
            raise _VaultError(403, "Forbidden", message, inner="SecretNotYetValid")
        if found.expires_on is not None and now >= found.expires_on:
            message = "Operation get is not allowed on an expired secret."
            raise _VaultError(403, "Forbidden", message, inner="SecretExpired")
        return {"value": found.value, **_properties(request, name.lower(), found, with_version=True)}

    def _page(self, request: web.Request, entries: list[tuple[str, SecretVersion, bool]]) -> dict[str, Any]:
        requested = request.query.get("maxresults")
        if requested is not None and (not requested.isdecimal() or not 1 <= int(requested) <= _LARGEST_PAGE):
            message = f"The value of maxresults must be between 1 and {_LARGEST_PAGE}."
            raise _VaultError(400, "BadParameter", message)
        size = self._vault.behaviour.page_size if requested is None else int(requested)
        query = f"{request.path.strip('/').lower()}?{size}"
        start = 0
        if "$skiptoken" in request.query:
            try:
                start = self._skiptokens.read(request.query["$skiptoken"], query).position
            except ForgedTokenError as error:
                raise _VaultError(400, "BadParameter", "The $skiptoken is not valid.") from error
        page = entries[start : start + size]
        body: dict[str, Any] = {
            "value": [_properties(request, name, each, with_version=full) for name, each, full in page],
            "nextLink": None,
        }
        if start + size < len(entries):
            place = PagePosition(position=start + size, page=0, advanced=False, issued_at=self._clock.now())
            token = quote(self._skiptokens.issue(place, query), safe="")
            version = quote(request.query["api-version"], safe="")
            # The service writes its default port out.
            port = "" if ":" in request.host else ":443"
            body["nextLink"] = (
                f"https://{request.host}{port}{request.path}?api-version={version}&$skiptoken={token}&maxresults={size}"
            )
        return body


def _properties(request: web.Request, name: str, version: SecretVersion, *, with_version: bool) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "enabled": version.enabled,
        "created": version.created,
        "updated": version.created,
        "recoveryLevel": "Recoverable+Purgeable",
        "recoverableDays": 90,
    }
    if version.not_before is not None:
        attributes["nbf"] = version.not_before
    if version.expires_on is not None:
        attributes["exp"] = version.expires_on
    address = f"https://{request.host}/secrets/{name}"
    found: dict[str, Any] = {
        "id": f"{address}/{version.version}" if with_version else address,
        "attributes": attributes,
        "tags": dict(version.tags),
    }
    if version.content_type is not None:
        found["contentType"] = version.content_type
    if version.managed:
        found["managed"] = True
        if with_version:
            found["kid"] = f"https://{request.host}/keys/{name}/{version.version}"
    return found


def _app_id(access: Access) -> str:
    return str(access.claims.get("appid") or access.claims.get("azp"))


def _explain(message: str) -> str:
    if "audience" in message:
        return "AKV10022: Invalid audience. Expected https://vault.azure.net."
    if "tenant" in message:
        return "AKV10032: Invalid issuer."
    if "expired" in message:
        return "AKV10006: Token has expired or is not yet valid."
    return "AKV10001: Token validation failed."


def _json(status: int, body: dict[str, Any]) -> web.Response:
    headers = {"Content-Type": "application/json; charset=utf-8"}
    return web.Response(status=status, body=msgspec.json.encode(body), headers=headers)
