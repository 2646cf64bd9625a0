"""
Read the responses of managed identity endpoints: tokens and errors. Pure.

Sources:
    https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
    https://learn.microsoft.com/en-us/azure/service-fabric/how-to-managed-identity-service-fabric-app-code#error-handling
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from entra_async.errors import AuthenticationError, CredentialUnavailableError
from entra_async.rules.http.decoding import first_words
from entra_async.rules.sign_in.aadsts import error_for, parse_codes
from entra_async.rules.sign_in.managed_identity import HostKind, IdentityHost
from entra_async.rules.sign_in.quoting import quote

__all__ = ("HostToken", "host_error_for", "read_token", "retry_wait_s")

# Renewed at half its life if it lives that long, as Microsoft's own libraries do.
_LONG_LIVED_S: Final = 7200
# The documented waits, "2 s, 6 s, 14 s, 30 s" after a first one at once; and for an IMDS that is being updated, which
# takes up to 70 s, those of azure-identity.
_WAITS_S: Final = (0.0, 2.0, 6.0, 14.0, 30.0)
_UPDATING_WAITS_S: Final = (0.0, 5.0, 10.0, 20.0, 40.0)
_UPDATING: Final = 410
_NOT_YET: Final = 404
_FORBIDDEN: Final = 403
_UNAUTHORIZED: Final = 401
_BUSY: Final = 429
_FAILED: Final = 500
_UNKNOWN_IDENTITY: Final = re.compile(
    r"identity not found|no (user|managed|system)\b.*identit|ManagedIdentityNotFound", re.IGNORECASE
)
_SEVERAL: Final = re.compile(r"multiple user.assigned identities", re.IGNORECASE)
_EXPIRIES: Final = ("expires_in", "expires_on")
_NUMBER: Final = re.compile(r"[0-9]{1,19}(\.[0-9]{0,19})?")
_MILLISECONDS: Final = 10**11  # seconds until the year 5138, milliseconds since 1973
_FRACTION: Final = re.compile(r"(\.\d{1,6})\d*")
_LONGEST_DATE: Final = 40
_DATES: Final = ("%m/%d/%Y %H:%M:%S +00:00", "%m/%d/%Y %I:%M:%S %p +00:00")


@dataclass(frozen=True, slots=True)
class HostToken:
    """
    A token from a managed identity endpoint.

    Attributes:
        token: The secret itself.
        expires_on: Seconds since the epoch.
        refresh_on: Seconds since the epoch after which it should be refreshed, or ``None``.
        token_type: ``"Bearer"``.
    """

    token: str = field(repr=False)
    expires_on: int
    refresh_on: int | None
    token_type: str


def retry_wait_s(host: IdentityHost, status: int, *, attempt: int) -> float | None:
    """
    Return how many seconds to wait after a transient error, or ``None`` if the host has no rule of its own for it.

    Args:
        host: The endpoint.
        status: HTTP status of the response.
        attempt: The number of the attempt that failed; the first is 1.
    """
    if host.kind is not HostKind.VIRTUAL_MACHINE or not (status in {_NOT_YET, _UPDATING, _BUSY} or status >= _FAILED):
        return None
    waits = _UPDATING_WAITS_S if status == _UPDATING else _WAITS_S
    return waits[min(attempt, len(waits)) - 1]


def read_token(host: IdentityHost, body: Any, *, requested_at: float, text: str = "") -> HostToken:
    """
    Return the token of a response with status 200. Numbers may be texts, and the lifetime comes in three forms.

    Args:
        host: The endpoint.
        body: The decoded JSON, or ``None`` if it was none.
        requested_at: When it was requested, in seconds since the epoch.
        text: The response as text.

    Raises:
        CredentialUnavailableError: If that is no response of such a host.
        AuthenticationError: If it holds no valid token.
    """
    if not isinstance(body, dict):
        message = f"The response of {host.endpoint} is not one of {host.kind.value}{_quote_page(text)}."
        raise CredentialUnavailableError(
            message, status=200, hint="A proxy or another service may answer in its place."
        )
    token, expires_on = body.get("access_token"), _expiry(body, requested_at)
    if not isinstance(token, str) or not token or expires_on is None:
        message = f"The response of {host.kind.value} has no token, or no expiry{_show_expiry(body)}."
        raise AuthenticationError(message, status=200, hint=f"Check what responds at {host.endpoint}.")
    if expires_on <= requested_at:
        message = f"{host.kind.value} issued a token that has expired."
        raise AuthenticationError(message, status=200, hint="Check the machine's clock.")
    lifetime_s = expires_on - requested_at
    refresh_in = _number(body.get("refresh_in"))
    if refresh_in is None and lifetime_s >= _LONG_LIVED_S:
        refresh_in = lifetime_s // 2
    return HostToken(
        token=token,
        expires_on=expires_on,
        refresh_on=None if refresh_in is None else int(requested_at + refresh_in),
        token_type="Bearer",  # the only type there is, whatever else a response says
    )


def _expiry(body: Mapping[str, Any], requested_at: float) -> int | None:
    expires_in = _number(body.get("expires_in"))
    if expires_in is not None:
        return int(requested_at + expires_in)
    expires_on = body.get("expires_on")
    seconds = _number(expires_on)
    if seconds is not None:
        return int(seconds / 1000 if seconds >= _MILLISECONDS else seconds)
    return _date(str(expires_on).strip()[:_LONGEST_DATE])


def _date(text: str) -> int | None:
    found = None
    for pattern in _DATES:  # Azure ML: on Linux, on Windows
        with suppress(ValueError):
            found = datetime.strptime(text, pattern).replace(tzinfo=UTC)
    if found is None and "-" in text:
        with suppress(ValueError):  # RFC 3339, also with a blank in place of the T, and with more digits than Python's
            found = datetime.fromisoformat(_FRACTION.sub(r"\1", text))
    if found is None:
        return None
    try:
        return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp())
    except OverflowError:
        return None


def _show_expiry(body: Mapping[str, Any]) -> str:
    # What is a time or was meant as one is no secret; anything long may be.
    parts = ", ".join(f"{name}={quote(str(body[name])[:_LONGEST_DATE])!r}" for name in _EXPIRIES if name in body)
    return f" that can be read ({parts})" if parts else ""


def _number(value: Any) -> float | None:
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        value = float(value)
    return value if type(value) in (int, float) and 0 <= value < 10**14 else None


def host_error_for(host: IdentityHost, *, status: int, body: Any, text: str, attempts: int) -> AuthenticationError:
    """
    Return the exception to raise for an error response.

    Args:
        host: The endpoint.
        status: HTTP status of the response.
        body: The decoded JSON, or ``None`` if it was none.
        text: The response as text.
        attempts: How many requests were sent.
    """
    error, said, correlation_id = _read_error(body)
    if parse_codes(said, None):
        passed_on = {"error": error, "error_description": said, "correlation_id": correlation_id}
        return error_for(status=status, body=passed_on, attempts=attempts)
    if body is None and status < _FAILED and not (status == _FORBIDDEN and "unreachable" in text):
        page = _quote_page(text)
        message = f"The response of {host.endpoint} is not one of {host.kind.value} (HTTP status {status}){page}."
        hint = "A proxy or another service may answer in its place."
        return CredentialUnavailableError(message, hint=hint, status=status, attempts=attempts)
    error_class, message, hint = _explain(host, status, f"{error} {said}" if body is not None else text, attempts)
    quoted = f'It said: "{quote(said)}"' if said else f"(HTTP status {status})"
    return error_class(
        f"{message} {quoted}",
        hint=hint,
        status=status,
        error=error,
        correlation_id=correlation_id,
        attempts=attempts,
    )


def _explain(host: IdentityHost, status: int, said: str, attempts: int) -> tuple[type[AuthenticationError], str, str]:
    """Return the error's class, message and hint."""
    who = host.kind.value[0].upper() + host.kind.value[1:]
    if _SEVERAL.search(said):
        return AuthenticationError, f"{who} has several identities.", "Name one of them with identity_id."
    if _UNKNOWN_IDENTITY.search(said):
        hint = "Assign it to the Azure resource, or check identity_id and identity_type. A new one takes minutes."
        return CredentialUnavailableError, f"{who} has no such identity.", hint
    if status == _FORBIDDEN and "unreachable" in said:  # Docker Desktop's proxy
        hint = "This is no Azure host: sign in with AzureCli, or as an application."
        return CredentialUnavailableError, f"{who} cannot be reached from here.", hint
    if status == _UNAUTHORIZED:
        hint = "Check that the process has the environment variables of its own host, not copied ones."
        return AuthenticationError, f"{who} rejected the secret of this process.", hint
    if status in {_NOT_YET, _UPDATING, _BUSY} or status >= _FAILED:
        hint = "Try again shortly; if it stays so, check the resource requested and the health of the host."
        return AuthenticationError, f"{who} failed, {attempts} times.", hint
    hint = "Check the resource requested, identity_id and identity_type; or check what responds in its place."
    return AuthenticationError, f"{who} refused the token request.", hint


def _read_error(body: Any) -> tuple[str | None, str, str | None]:
    """Return error, description and correlation id from the three shapes of hosts' errors."""
    if not isinstance(body, dict):
        return None, "", None
    error = body.get("error")
    if isinstance(error, dict):  # Service Fabric, Cloud Shell
        return _text(error.get("code")), _text(error.get("message")) or "", _text(error.get("correlationId"))
    said = body.get("error_description") or body.get("message") or ""  # IMDS; App Service
    return _text(error), _text(said) or "", _text(body.get("correlation_id"))


def _quote_page(text: str) -> str:
    # Of a web page only: what is nearly a token response may hold the token.
    words = first_words(text) if text.lstrip().startswith("<") else ""
    return f": {words!r}" if words else ""


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
