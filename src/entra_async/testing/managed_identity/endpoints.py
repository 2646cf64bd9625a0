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
from entra_async.testing.managed_identity.requests import (
    SELECTORS,
    HostError,
    choose_identity,
    read_parameters,
    require_metadata,
    require_method,
    require_version,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from aiohttp.typedefs import Handler

    from entra_async.testing.entra.tokens.access_tokens import IssuedToken
    from entra_async.testing.managed_identity.host import AssignedIdentity, AzureHost, HostKind

__all__ = ("host_application",)

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_LIKE_IMDS: Final = {"client_id": "client_id", "object_id": "principal_id", "msi_res_id": "resource_id"}


def host_application(host: AzureHost) -> web.Application:
    """
    Return the endpoint of a host.

    Args:
        host: Which.
    """
    path, handle, shape = _ENDPOINTS[host.kind]

    @web.middleware
    async def handle_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except HostError as error:
            return web.json_response(shape(error), status=error.status)

    async def serve(request: web.Request) -> web.StreamResponse:
        return await handle(host, request)

    application = web.Application(middlewares=[handle_errors])
    application.router.add_route("*", path, serve)
    if host.kind == "imds":
        application.router.add_get("/metadata/instance", _instance)
    return application


def _issue(host: AzureHost, identity: AssignedIdentity, given: Mapping[str, str]) -> IssuedToken:
    resource = given.get("resource")
    if not resource:
        raise HostError(400, "invalid_request", "Required audience parameter not specified")
    token = host.issue(identity, resource)
    if token is None:
        message = f"AADSTS500011: The resource principal named {resource} was not found in the tenant."
        raise HostError(400, "invalid_resource", message)
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
    require_metadata(request)
    require_method(request, "GET")
    given = read_parameters(request, known={"api-version", "resource"})
    require_version(given, "2018-02-01")
    identity = choose_identity(host, given, _LIKE_IMDS, default_to_only=True)
    token = _issue(host, identity, given)
    return web.json_response({**_in_words(token), "client_id": identity.client_id})


async def _instance(request: web.Request) -> web.Response:
    require_metadata(request)
    if request.query.get("api-version") != "2021-02-01":
        raise HostError(400, "Bad request", "api-version was not specified in the request.")
    return web.json_response({"compute": {"azEnvironment": "AzurePublicCloud", "name": "host"}})


async def _app_service(host: AzureHost, request: web.Request) -> web.Response:
    require_method(request, "GET")
    if not hmac.compare_digest(request.headers.get("X-IDENTITY-HEADER", ""), host.secret):
        raise HostError(401, "Unauthorized", "The X-IDENTITY-HEADER is not this app's.")
    given = read_parameters(request, known={"api-version", "resource"})
    require_version(given, "2019-08-01")
    selectors = {
        "client_id": "client_id",
        "principal_id": "principal_id",
        "object_id": "principal_id",
        "mi_res_id": "resource_id",
    }
    try:
        identity = choose_identity(host, given, selectors, default_to_only=False)
    except HostError as error:
        if error.message != "Identity not found":
            raise
        message = "No User Assigned or Delegated Managed Identity found for specified ClientId/ResourceId/PrincipalId."
        raise HostError(400, "BadRequest", message) from None
    try:
        token = _issue(host, identity, given)
    except HostError as error:
        if error.code != "invalid_resource":
            raise
        raise HostError(500, "", "An unexpected error occurred while fetching the AAD Token.") from None
    body = {**_in_words(token), "client_id": identity.client_id}
    return web.json_response({name: body[name] for name in body.keys() - {"expires_in", "ext_expires_in"}})


async def _arc(host: AzureHost, request: web.Request) -> web.Response:
    require_metadata(request)
    require_method(request, "GET")
    given = read_parameters(request, known={"api-version", "resource"})
    if given.get("api-version") not in {"2020-06-01", "2019-11-01"}:
        raise HostError(400, "invalid_request", "The api-version must be 2020-06-01.")
    if not await is_proven(host, request.headers.get("Authorization", "")):
        return await challenge(host)
    selectors = _LIKE_IMDS if host.confirms_identity else {}  # an agent that cannot choose does not confirm
    if not host.confirms_identity:
        given = {name: value for name, value in given.items() if name not in SELECTORS}
    identity = choose_identity(host, given, selectors, default_to_only=True)
    body = _in_words(_issue(host, identity, given))
    if host.confirms_identity:
        body |= {name: getattr(identity, attribute) for name, attribute in _LIKE_IMDS.items()}
    return web.json_response(body)


async def _service_fabric(host: AzureHost, request: web.Request) -> web.Response:
    require_method(request, "GET")
    if not hmac.compare_digest(request.headers.get("Secret", ""), host.secret):
        raise HostError(401, "SecretHeaderNotFound", "The request's Secret header is missing or wrong.")
    given = read_parameters(request, known={"api-version", "resource", "token_sha256_to_refresh", "xms_cc"})
    require_version(given, "2019-07-01-preview", code="InvalidApiVersion")
    if not given.get("resource"):
        raise HostError(400, "ArgumentNullOrEmpty", "The parameter 'resource' is missing.")
    revoked = given.get("token_sha256_to_refresh")
    if revoked is not None and not (_SHA256.fullmatch(revoked) and revoked in host.issued_token_hashes):
        raise HostError(400, "ArgumentNullOrEmpty", "token_sha256_to_refresh names no token of this host.")
    if host.strict and given.keys() & SELECTORS:
        raise HostError(400, "ArgumentNullOrEmpty", "The identity is chosen in the application manifest.")
    identity = host.system_assigned or next(iter(host.user_assigned), None)
    if identity is None:
        raise HostError(404, "ManagedIdentityNotFound", "Managed Identity not found for this application.")
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
    require_method(request, "GET")
    if not hmac.compare_digest(request.headers.get("Secret", ""), host.secret):
        raise HostError(401, "Unauthorized", "The secret is not this compute's.")
    given = read_parameters(request, known={"api-version", "resource"})
    require_version(given, "2017-09-01")
    identity = choose_identity(host, given, {"clientid": "client_id"}, default_to_only=False)
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
    require_metadata(request)
    require_method(request, "POST")
    if request.content_type != "application/x-www-form-urlencoded" or request.query_string:
        raise HostError(400, "InvalidRequest", "A form is expected, and no query.")
    form = dict(parse_qsl((await request.read()).decode(), keep_blank_values=True))
    if form.keys() != {"resource"}:
        raise HostError(400, "InvalidRequest", "The form holds 'resource' and nothing else; no identity can be chosen.")
    identity = host.system_assigned
    if identity is None:
        raise HostError(400, "InvalidRequest", "Identity not found")
    return web.json_response(_in_words(_issue(host, identity, form)))


def _flat(error: HostError) -> dict[str, Any]:
    return {"error": error.code, "error_description": error.message}


def _numbered(error: HostError) -> dict[str, Any]:
    return {"statusCode": error.status, "message": error.message}


def _nested(error: HostError) -> dict[str, Any]:
    return {"error": {"correlationId": str(uuid.uuid4()), "code": error.code, "message": error.message}}


_ENDPOINTS: Final[
    Mapping[
        HostKind, tuple[str, Callable[[AzureHost, web.Request], Awaitable[web.Response]], Callable[[HostError], Any]]
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
