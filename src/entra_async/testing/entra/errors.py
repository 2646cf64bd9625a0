"""
The errors of Entra ID: the AADSTS codes with their status, OAuth error and text, and the body that carries them.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
    RFC 6749, section 5.2: https://www.rfc-editor.org/rfc/rfc6749#section-5.2
"""

from __future__ import annotations

import datetime as dt
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from aiohttp import web

from entra_async.testing.entra.user_errors import USER_ERRORS
from entra_async.testing.faults.responses import ErrorFormat

if TYPE_CHECKING:
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("ERRORS", "AadstsError", "no_store_headers")

# Code → (OAuth error, text).
_ERRORS: Final[dict[int, tuple[str, str]]] = {
    50027: ("invalid_request", "JWT token is invalid or malformed. {reason}"),
    50048: ("invalid_client", "Subject must match the issuer claim in the client assertion."),
    50049: ("invalid_instance", "Unknown or invalid instance."),
    50050: ("invalid_request", "The request is malformed: '{parameter}' is not an absolute https URL."),
    50059: (
        "invalid_request",
        "No tenant-identifying information found in either the request or implied by any provided credentials.",
    ),
    70003: ("unsupported_grant_type", "The app requested an unsupported grant type '{grant_type}'."),
    70011: (
        "invalid_scope",
        (
            "The provided value for the input parameter 'scope' is not valid. '.default' can't be combined with other "
            "scopes of its resource: {scope}."
        ),
    ),
    90002: (
        "invalid_request",
        (
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the "
            "correct cloud."
        ),
    ),
    90033: ("temporarily_unavailable", "A transient error has occurred. Please try again."),
    90055: ("temporarily_unavailable", "The request was throttled because of too many requests from this tenant."),
    500011: (
        "invalid_resource",
        (
            "The resource principal named {resource} was not found in the tenant named {tenant}. You might have sent "
            "your authentication request to the wrong tenant."
        ),
    ),
    700016: (
        "unauthorized_client",
        (
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. You may have sent "
            "your authentication request to the wrong tenant."
        ),
    ),
    700021: ("invalid_client", "Client assertion application identifier doesn't match 'client_id' parameter."),
    700022: (
        "invalid_scope",
        "The input parameter 'scope' isn't valid because it has more than one resource: {scope}.",
    ),
    # One number, two meanings: an assertion for another audience, and a scope without a resource.
    700023: ("invalid_client", "{reason}"),
    700024: (
        "invalid_client",
        (
            "Client assertion is not within its valid time range. Current time: {now}, assertion valid from {start}, "
            "expiry time of assertion {end}."
        ),
    ),
    700025: (
        "invalid_client",
        "Client is public so neither 'client_assertion' nor 'client_secret' should be presented.",
    ),
    700027: ("invalid_client", "Client assertion failed signature validation. [Reason - {reason}]"),
    900144: ("invalid_request", "The request body must contain the following parameter: '{parameter}'."),
    900561: ("invalid_request", "The endpoint only accepts POST requests. Received a {method} request."),
    901002: ("invalid_request", "The 'resource' request parameter is not supported."),
    1002012: (
        "invalid_scope",
        (
            "The provided value for scope {scope} is not valid. Client credential flows must have a scope value with "
            "/.default suffixed to the resource identifier (application ID URI)."
        ),
    ),
    5002730: ("invalid_request", "Invalid JWT token. {reason}"),
    7000112: ("unauthorized_client", "Application '{client_id}' is disabled."),
    7000215: (
        "invalid_client",
        (
            "Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, "
            "not the client secret ID, for a secret added to app '{client_id}'."
        ),
    ),
    7000218: (
        "invalid_client",
        "The request body must contain the following parameter: 'client_assertion' or 'client_secret'.",
    ),
    7000222: ("invalid_client", "The provided client secret keys for app '{client_id}' are expired."),
    9001023: (
        "invalid_request",
        (
            "The grant type is not supported over the /common or /consumers endpoints. Please use the /organizations "
            "or tenant-specific endpoint."
        ),
    ),
    9002313: ("invalid_request", "Invalid request. Request is malformed or invalid. {reason}"),
    9002326: (
        "invalid_request",
        (
            "Cross-origin token redemption is permitted only for the 'Single-Page Application' client-type. "
            "Request origin: '{origin}'."
        ),
    ),
    **USER_ERRORS,
}

# Microsoft's pages name no status; this is what RFC 6749 requires and what recorded responses show.
_STATUS: Final = {"invalid_client": 401, "temporarily_unavailable": 503}


class AadstsError(Exception):
    """
    An error of Entra ID, by its AADSTS code.

    Attributes:
        code: Number of the AADSTS code.
        status: HTTP status.
        error: OAuth error.
        text: What went wrong, with the details filled in.
        suberror: A finer class of what would help, or ``None``.
        claims: JSON to sign in with, or ``None``.
    """

    def __init__(
        self,
        code: int,
        *,
        error: str | None = None,
        status: int | None = None,
        suberror: str | None = None,
        claims: str | None = None,
        **details: str,
    ) -> None:
        oauth_error, text = _ERRORS[code]
        self.code = code
        self.suberror = suberror
        self.claims = claims
        self.error = error or oauth_error
        self.status = status or _STATUS.get(self.error, 400)
        self.text = text.format(**details).rstrip()
        super().__init__(f"AADSTS{code}: {self.text}")

    def response(self, request: IncomingRequest, *, now: float) -> web.Response:
        """
        Return the response that carries this error.

        Args:
            request: The request; its ``client-request-id``, when a GUID, becomes the correlation id.
            now: Epoch seconds.
        """
        body = self.body(request, now=now)
        return web.json_response(body, status=self.status, headers=no_store_headers(str(body["trace_id"])))

    def body(self, request: IncomingRequest, *, now: float) -> dict[str, object]:
        """Return the fields of the response; the arguments are those of :meth:`response`."""
        trace_id = str(uuid.uuid4())
        client_request_id = (
            request.headers.get("client-request-id") or request.rel_url.query.get("client-request-id") or ""
        )
        correlation_id = _guid(client_request_id) or str(uuid.uuid4())
        timestamp = dt.datetime.fromtimestamp(now, dt.UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        description = f"{self}\r\nTrace ID: {trace_id}\r\nCorrelation ID: {correlation_id}\r\nTimestamp: {timestamp}"
        body: dict[str, object] = {
            "error": self.error,
            "error_description": description,
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": f"https://{request.host}/error?code={self.code}",
        }
        if self.suberror is not None:
            body["suberror"] = self.suberror
        if self.claims is not None:
            body["claims"] = self.claims
        return body


def _render(request: IncomingRequest, status: int, now: float) -> web.Response:
    throttled = status == HTTPStatus.TOO_MANY_REQUESTS
    return AadstsError(90055 if throttled else 90033, status=status).response(request, now=now)


ERRORS: Final = ErrorFormat(render=_render)
"""How Entra ID writes the errors that are injected."""


def no_store_headers(request_id: str) -> dict[str, str]:
    """Return the headers of every response of the token endpoint; *request_id* is for Microsoft's support."""
    return {
        "Cache-Control": "no-store, no-cache",
        "Pragma": "no-cache",
        "Expires": "-1",
        "Strict-Transport-Security": "max-age=31536000; includeSubDomains",
        "X-Content-Type-Options": "nosniff",
        "x-ms-request-id": request_id,
        "x-ms-ests-server": "emulator",
    }


def _guid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None
