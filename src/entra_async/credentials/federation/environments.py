"""
The environments known from the start, and how each gives an assertion; environment variables tell which one it is.

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
from entra_async.transport.messages import HTTPRequest
from entra_async.transport.retry_loop import RetryLoop

__all__ = (
    "ask_azure_pipelines",
    "ask_github_actions",
    "ask_managed_identity",
    "read_workload_identity",
)

_OK: Final = 200
_POLICY: Final = RetryPolicy(max_attempts=4, deadline_s=50.0)
_PIPELINES_VERSION: Final = "7.1"


async def ask_github_actions(request: FederationRequest) -> str | None:
    """Return the assertion of a job of GitHub Actions, or ``None`` elsewhere."""
    url = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_URL")
    token = os.environ.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not token:
        return None
    separator = "&" if urlsplit(url).query else "?"
    asked = HTTPRequest(
        "GET",
        f"{url}{separator}audience={quote(request.audience, safe='')}",
        {"Authorization": f"Bearer {token}", "Accept": "application/json"},
    )
    return await _ask(asked, request, field="value", what="GitHub Actions")


async def ask_azure_pipelines(request: FederationRequest) -> str | None:
    """Return the assertion of a task of Azure Pipelines, or ``None`` elsewhere."""
    url = os.environ.get("SYSTEM_OIDCREQUESTURI")
    token = os.environ.get("SYSTEM_ACCESSTOKEN")
    connection = os.environ.get("AZURESUBSCRIPTION_SERVICE_CONNECTION_ID")
    if not url or not token or not connection:
        return None
    asked = HTTPRequest(
        "POST",
        f"{url}?api-version={_PIPELINES_VERSION}&serviceConnectionId={quote(connection, safe='')}",
        {
            "Authorization": f"Bearer {token}",
            "Content-Type": "application/json",
            # Else a token that is refused is answered with a sign-in page.
            "X-TFS-FedAuthRedirect": "Suppress",
        },
        b"",
    )
    return await _ask(asked, request, field="oidcToken", what="Azure Pipelines")


async def read_workload_identity(request: FederationRequest) -> str | None:  # noqa: ARG001 - the file knows its audience
    """Return what Kubernetes wrote for the pod, or ``None`` elsewhere. It is written anew every hour or so."""
    path = os.environ.get("AZURE_FEDERATED_TOKEN_FILE")
    return None if not path else await read_assertion_file(path)


async def ask_managed_identity(request: FederationRequest) -> str | None:
    """Return a token of the host's managed identity, made for the exchange, or ``None`` where there is no such host."""
    from entra_async.credentials.sources.identity_endpoint import IdentityEndpoint

    host = find_host(os.environ)
    if isinstance(host, WorkloadIdentity):
        return None
    endpoint = IdentityEndpoint(request.context, host, None, "client_id", 120.0, in_chain=request.detecting)
    token = await endpoint.get_token(default_scope(request.audience))
    return token.token


async def _ask(asked: HTTPRequest, request: FederationRequest, *, field: str, what: str) -> str:
    where = strip_query(asked.url)
    parts = urlsplit(asked.url)
    if parts.scheme != "https" or not parts.hostname:
        message = f"{what} names {where}, which is not the https URL of a service."
        raise AuthenticationError(message, hint="See who set the environment variables of this process.")
    attempts = RetryLoop(policy=_POLICY, clock=request.context.clock)
    try:
        answer = await attempts.run(
            lambda: request.context.pool.send(asked, within_s=attempts.left_s()), request=asked, idempotent=True
        )
    except TransportError as error:
        message = f"{what} could not be asked for an assertion. {error.args[0]}"
        raise AuthenticationError(message, hint=error.hint, attempts=attempts.made) from error
    if answer.status != _OK:
        message = f"{what} gave no assertion: {where} answered {answer.status}."
        hint = "See that the job or task is still running, and may ask for one."
        raise AuthenticationError(message, status=answer.status, hint=hint, attempts=attempts.made)
    body: Any = None
    with suppress(msgspec.DecodeError, UnicodeDecodeError):
        body = msgspec.json.decode(answer.body)
    assertion = body.get(field) if isinstance(body, dict) else None
    if not isinstance(assertion, str) or not assertion:
        message = f"{what} gave no assertion: the answer of {where} holds no {field!r}."
        raise AuthenticationError(message, status=answer.status, hint="A proxy may have answered; check proxy=.")
    return assertion
