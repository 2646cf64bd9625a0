"""
The built-in environments, and how each issues an assertion; they are detected by environment variables.

Sources:
    https://docs.github.com/en/actions/reference/security/oidc
    https://learn.microsoft.com/en-us/rest/api/azure/devops/distributedtask/oidctoken/create
    https://azure.github.io/azure-workload-identity/docs/quick-start.html
    https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation-config-app-trust-managed-identity
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import Any, Final
from urllib.parse import quote, urlsplit

import msgspec

from entra_async.config import RetryPolicy
from entra_async.credentials.federation.assertion_file import read_assertion_file
from entra_async.credentials.federation.request import FederationRequest
from entra_async.errors import AuthenticationError, TransportError
from entra_async.rules.http.urls import strip_query
from entra_async.rules.sign_in.managed_identity import WorkloadIdentity, find_host
from entra_async.rules.tokens.scopes import default_scope
from entra_async.transport.http.messages import TOKEN_RESPONSE_BYTES, HTTPRequest
from entra_async.transport.http.retry_loop import RetryLoop

__all__ = (
    "get_azure_pipelines_assertion",
    "get_github_actions_assertion",
    "get_managed_identity_assertion",
    "read_workload_identity_assertion",
)

_OK: Final = 200
_POLICY: Final = RetryPolicy(max_attempts=4, deadline_s=50.0)
_PIPELINES_VERSION: Final = "7.1"


async def get_github_actions_assertion(request: FederationRequest) -> str | None:
    """Return the assertion of a job of GitHub Actions, or ``None`` elsewhere."""
    url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    token = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not token:
        return None
    separator = "&" if urlsplit(url).query else "?"
    http_request = HTTPRequest(
        "GET",
        f"{url}{separator}audience={quote(request.audience, safe='')}",
        {"Authorization": f"Bearer {token}", "Accept": "application/json"},
        response_bytes=TOKEN_RESPONSE_BYTES,
    )
    return await _send(http_request, request, field="value", what="GitHub Actions")


async def get_azure_pipelines_assertion(request: FederationRequest) -> str | None:
    """Return the assertion of a task of Azure Pipelines, or ``None`` elsewhere."""
    url = os.environ.get("SYSTEM_OIDCREQUESTURI")
    token = os.environ.get("SYSTEM_ACCESSTOKEN")
    connection = os.environ.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
    if not url or not token or not connection:
        return None
    http_request = HTTPRequest(
        "POST",
        f"{url}?api-version={_PIPELINES_VERSION}&serviceConnectionId={quote(connection, safe='')}",
        {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            # Else the response to a rejected token is a sign-in page.
            "X-TFS-FedAuthRedirect": "Suppress",
        },
        b"",
        response_bytes=TOKEN_RESPONSE_BYTES,
    )
    return await _send(http_request, request, field="oidcToken", what="Azure Pipelines")


async def read_workload_identity_assertion(request: FederationRequest) -> str | None:  # noqa: ARG001 - the file knows its audience
    """Return the pod's projected service account token, or ``None`` elsewhere. It is written anew every hour or so."""
    path = os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
    return None if not path else await read_assertion_file(path)


async def get_managed_identity_assertion(request: FederationRequest) -> str | None:
    """Return a token of the host's managed identity for the token exchange, or ``None`` where there is no such host."""
    from entra_async.credentials.sources.identity_endpoint import IdentityEndpoint

    host = find_host(os.environ)
    if isinstance(host, WorkloadIdentity):
        return None
    endpoint = IdentityEndpoint(request.context, host, None, "client_id", 120.0, in_chain=request.detecting)
    token = await endpoint.get_token(default_scope(request.audience))
    return token.token


async def _send(http_request: HTTPRequest, request: FederationRequest, *, field: str, what: str) -> str:
    where = strip_query(http_request.url)
    parts = urlsplit(http_request.url)
    if parts.scheme != "https" or not parts.hostname:
        message = f"{what} names {where}, which is not the https URL of a service."
        raise AuthenticationError(message, hint="See who set the environment variables of this process.")
    attempts = RetryLoop(policy=_POLICY, clock=request.context.clock)
    try:
        response = await attempts.run(
            lambda: request.context.pool.send(http_request, within_s=attempts.left_s()),
            request=http_request,
            idempotent=True,
        )
    except TransportError as error:
        message = f"{error.args[0]} The assertion could not be requested from {what}."
        raise AuthenticationError(message, hint=error.hint, attempts=attempts.made) from error
    if response.status != _OK:
        message = f"{what} issued no assertion: {where} answered {response.status}."
        hint = "See that the job or task is still running, and may request one."
        raise AuthenticationError(message, status=response.status, hint=hint, attempts=attempts.made)
    body: Any = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        body = msgspec.json.decode(response.body)
    assertion = body.get(field) if isinstance(body, dict) else None
    if not isinstance(assertion, str) or not assertion:
        message = f"{what} issued no assertion: the response of {where} has no {field!r}."
        raise AuthenticationError(message, status=response.status, hint="A proxy may have answered; check proxy=.")
    return assertion
