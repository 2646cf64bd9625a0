"""
How a token is requested from each Azure host, and what it responds.

Sources:
    https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
    https://learn.microsoft.com/en-us/azure/app-service/overview-managed-identity#rest-endpoint-reference
    https://learn.microsoft.com/en-us/azure/azure-arc/servers/managed-identity-authentication
    https://learn.microsoft.com/en-us/azure/service-fabric/how-to-managed-identity-service-fabric-app-code
"""

from __future__ import annotations

import hmac
import re
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

from aiohttp import web

from entra_async.testing.managed_identity.key import challenge, is_proven

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.typedefs import Handler

    from entra_async.testing.entra.tokens.access_tokens import IssuedToken
    from entra_async.testing.managed_identity.host import AssignedIdentity, AzureHost, HostKind

__all__ = ("host_application",)

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_SELECTORS: Final = frozenset(
    {"client_id", "clientid", "object_id", "principal_id", "resource_id", "msi_res_id", "mi_res_id"}
)
_LIKE_IMDS: Final = {"client_id": "client_id", "object_id": "principal_id", "msi_res_id": "resource_id"}


class _Refusal(Exception):  # noqa: N818 -- a response of the host, not an error of this program
    """What a host refuses, before it takes the shape in which that host says so."""

    def __init__(self, status: int, code: str, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.code = code
        self.said = said


def host_application(host: AzureHost) -> web.Application:
    """
    Return the endpoint of a host.

    Args:
        host: Which.
    """
    path, handle, shape = _ENDPOINTS[host.kind]

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except _Refusal as refusal:
            return web.json_response(shape(refusal), status=refusal.status)

    async def serve(request: web.Request) -> web.StreamResponse:
        return await handle(host, request)

    application = web.Application(middlewares=[refuse])
    application.router.add_route("*", path, serve)
    if host.kind == "imds":
        application.router.add_get("/metadata/instance", _instance)
    return application


def _parameters(request: web.Request, *, known: frozenset[str] | set[str]) -> dict[str, str]:
    """Return the query, in which nothing is said twice and nothing that is not known."""
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs):
        raise _Refusal(400, "invalid_request", "A parameter was given twice.")
    if unknown := given.keys() - known - _SELECTORS:
        raise _Refusal(400, "invalid_request", f"Unknown parameter {min(unknown)!r}.")
    return given


def _require_method(request: web.Request, method: str) -> None:
    if request.method != method:
        raise _Refusal(405, "invalid_request", f"Only {method} is served here.")


def _require_version(given: Mapping[str, str], version: str, *, code: str = "invalid_request") -> None:
    if given.get("api-version") != version:
        raise _Refusal(400, code, f"The api-version must be {version}.")


def _require_metadata(request: web.Request) -> None:
    if request.headers.getall("Metadata", []) != ["true"]:
        raise _Refusal(400, "invalid_request", "Required metadata header not specified")
    if "X-Forwarded-For" in request.headers:
        raise _Refusal(400, "invalid_request", "A request that was forwarded is not served.")


def _chosen(host: AzureHost, given: Mapping[str, str], selectors: Mapping[str, str], *, lone: bool) -> AssignedIdentity:
    """
    Return the identity a request is about.

    Args:
        host: Where.
        given: The parameters.
        selectors: The parameters that choose one here, and what of it they name.
        lone: Whether the only assigned identity stands in for the host's own, if that has none.
    """
    said = {name: value for name, value in given.items() if name in _SELECTORS}
    if host.strict and (ignored := said.keys() - selectors.keys()):
        raise _Refusal(400, "invalid_request", f"{min(ignored)} chooses nothing here; the real host passes it over.")
    wanted = [(selectors[name], value) for name, value in said.items() if name in selectors]
    if len(wanted) > 1:
        raise _Refusal(400, "invalid_request", "More than one identity was asked for.")
    if wanted:
        (attribute, value), *_ = wanted
        # A virtual machine's own identity can be named, too.
        known = [*host.user_assigned, *([host.system_assigned] if host.system_assigned else [])]
        for identity in known:
            if str(getattr(identity, attribute)).lower() == value.lower():
                return identity
        raise _Refusal(400, "invalid_request", "Identity not found")
    if host.system_assigned is not None:
        return host.system_assigned
    if lone and len(host.user_assigned) == 1:
        return host.user_assigned[0]
    if lone and host.user_assigned:
        said_so = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity"
        raise _Refusal(400, "invalid_request", f"{said_so} in the token request")
    raise _Refusal(400, "invalid_request", "Identity not found")


def _issue(host: AzureHost, identity: AssignedIdentity, given: Mapping[str, str]) -> IssuedToken:
    resource = given.get("resource")
    if not resource:
        raise _Refusal(400, "invalid_request", "Required audience parameter not specified")
    token = host.issue(identity, resource)
    if token is None:
        said = f"AADSTS500011: The resource principal named {resource} was not found in the tenant."
        raise _Refusal(400, "invalid_resource", said)
    return token


def _in_words(token: IssuedToken) -> dict[str, str]:
    """Return the response of most hosts: every number is a text."""
    return {
        "access_token": token.access_token,
        "refresh_token": "",
        "expires_in": str(token.expires_in),
        "ext_expires_in": str(token.expires_in),
        "expires_on": str(token.expires_on),
        "not_before": str(token.not_before),
        "resource": token.audience,
        "token_type": "Bearer",
    }


async def _imds(host: AzureHost, request: web.Request) -> web.Response:
    _require_metadata(request)
    _require_method(request, "GET")
    given = _parameters(request, known={"api-version", "resource"})
    _require_version(given, "2018-02-01")
    identity = _chosen(host, given, _LIKE_IMDS, lone=True)
    token = _issue(host, identity, given)
    return web.json_response({**_in_words(token), "client_id": identity.client_id})


async def _instance(request: web.Request) -> web.Response:
    _require_metadata(request)
    if request.query.get("api-version") != "2021-02-01":
        raise _Refusal(400, "Bad request", "api-version was not specified in the request.")
    return web.json_response({"compute": {"azEnvironment": "AzurePublicCloud", "name": "host"}})


async def _app_service(host: AzureHost, request: web.Request) -> web.Response:
    _require_method(request, "GET")
    if not hmac.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), host.secret):
        raise _Refusal(401, "Unauthorized", "The X-IDENTITY-HEADER is not this app's.")
    given = _parameters(request, known={"api-version", "resource"})
    _require_version(given, "2019-08-01")
    selectors = {
        "client_id": "client_id",
        "principal_id": "principal_id",
        "object_id": "principal_id",
        "mi_res_id": "resource_id",
    }
    try:
        identity = _chosen(host, given, selectors, lone=False)
    except _Refusal as refusal:
        if refusal.said != "Identity not found":
            raise
        said = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
        raise _Refusal(400, "BadRequest", said) from None
    try:
        token = _issue(host, identity, given)
    except _Refusal as refusal:
        if refusal.code != "invalid_resource":
            raise
        raise _Refusal(500, "", "An unexpected error occurred while fetching the AAD Token.") from None
    body = {**_in_words(token), "client_id": identity.client_id}
    return web.json_response({name: body[name] for name in body.keys() - {"expires_in", "ext_expires_in"}})


async def _arc(host: AzureHost, request: web.Request) -> web.Response:
    _require_metadata(request)
    _require_method(request, "GET")
    given = _parameters(request, known={"api-version", "resource"})
    if given.get("api-version") not in {"2020-06-01", "2019-11-01"}:
        raise _Refusal(400, "invalid_request", "The api-version must be 2020-06-01.")
    if not await is_proven(host, request.headers.get("Authorization", "")):
        return await challenge(host)
    selectors = _LIKE_IMDS if host.confirms_identity else {}  # an agent that cannot choose does not confirm
    if not host.confirms_identity:
        given = {name: value for name, value in given.items() if name not in _SELECTORS}
    identity = _chosen(host, given, selectors, lone=True)
    body = _in_words(_issue(host, identity, given))
    if host.confirms_identity:
        body |= {name: getattr(identity, attribute) for name, attribute in _LIKE_IMDS.items()}
    return web.json_response(body)


async def _service_fabric(host: AzureHost, request: web.Request) -> web.Response:
    _require_method(request, "GET")
    if not hmac.compare_digest(request.headers.get("Secret", ""), host.secret):
        raise _Refusal(401, "SecretHeaderNotFound", "The request's Secret header is missing or wrong.")
    given = _parameters(request, known={"api-version", "resource", "token_sha256_to_refresh", "xms_cc"})
    _require_version(given, "2019-07-01-preview", code="InvalidApiVersion")
    if not given.get("resource"):
        raise _Refusal(400, "ArgumentNullOrEmpty", "The parameter 'resource' is missing.")
    revoked = given.get("token_sha256_to_refresh")
    if revoked is not None and not (_SHA256.fullmatch(revoked) and revoked in host.issued_token_hashes):
        raise _Refusal(400, "ArgumentNullOrEmpty", "token_sha256_to_refresh names no token of this host.")
    if host.strict and given.keys() & _SELECTORS:
        raise _Refusal(400, "ArgumentNullOrEmpty", "The identity is chosen in the application manifest.")
    identity = host.system_assigned or next(iter(host.user_assigned), None)
    if identity is None:
        raise _Refusal(404, "ManagedIdentityNotFound", "Managed Identity not found for this application.")
    token = _issue(host, identity, given)
    return web.json_response(
        {
            "token_type": "Bearer",
            "access_token": token.access_token,
            "expires_on": token.expires_on,
            "resource": token.audience,
        }
    )


async def _azure_ml(host: AzureHost, request: web.Request) -> web.Response:
    _require_method(request, "GET")
    if not hmac.compare_digest(request.headers.get("Secret", ""), host.secret):
        raise _Refusal(401, "Unauthorized", "The secret is not this compute's.")
    given = _parameters(request, known={"api-version", "resource"})
    _require_version(given, "2017-09-01")
    identity = _chosen(host, given, {"clientid": "client_id"}, lone=False)
    token = _issue(host, identity, given)
    moment = datetime.fromtimestamp(token.expires_on, UTC)
    expires_on = {
        "epoch": str(token.expires_on),
        "linux": f"{moment:%m/%d/%Y %H:%M:%S} +00:00",
        "windows": f"{moment.month}/{moment.day}/{moment.year} {moment:%I:%M:%S %p} +00:00",
    }[host.expiry]
    body = {"access_token": token.access_token, "expires_on": expires_on, "resource": token.audience}
    return web.json_response({**body, "token_type": "Bearer", "client_id": identity.client_id})


async def _cloud_shell(host: AzureHost, request: web.Request) -> web.Response:
    _require_metadata(request)
    _require_method(request, "POST")
    if request.content_type != "application/x-www-form-urlencoded" or request.query_string:
        raise _Refusal(400, "InvalidRequest", "A form is expected, and no query.")
    form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
    if form.keys() != {"resource"}:
        raise _Refusal(400, "InvalidRequest", "The form holds 'resource' and nothing else; no identity can be chosen.")
    identity = host.system_assigned
    if identity is None:
        raise _Refusal(400, "InvalidRequest", "Identity not found")
    return web.json_response(_in_words(_issue(host, identity, form)))


def _flat(refusal: _Refusal) -> dict[str, Any]:
    return {"error": refusal.code, "error_description": refusal.said}


def _numbered(refusal: _Refusal) -> dict[str, Any]:
    return {"statusCode": refusal.status, "message": refusal.said}


def _nested(refusal: _Refusal) -> dict[str, Any]:
    return {"error": {"correlationId": str(uuid.uuid4()), "code": refusal.code, "message": refusal.said}}


_ENDPOINTS: Final[
    Mapping[
        HostKind, tuple[str, Callable[[AzureHost, web.Request], Awaitable[web.Response]], Callable[[_Refusal], Any]]
    ]
] = {
    "imds": ("/metadata/identity/oauth2/token", _imds, _flat),
    "app_service": ("/msi/token/", _app_service, _numbered),
    "container_apps": ("/msi/token", _app_service, _numbered),
    "arc": ("/metadata/identity/oauth2/token", _arc, _flat),
    "service_fabric": ("/metadata/identity/oauth2/token", _service_fabric, _nested),
    "azure_ml": ("/MSI/auth", _azure_ml, _numbered),
    "cloud_shell": ("/oauth2/token", _cloud_shell, _nested),
}
