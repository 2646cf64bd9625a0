"""
What an Azure host's answer to the question for a managed identity's token means. Pure.

Sources:
    https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token#error-handling
    https://learn.microsoft.com/en-us/azure/service-fabric/how-to-managed-identity-service-fabric-app-code#error-handling
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from entra_async.errors import AuthenticationError, CredentialUnavailableError
from entra_async.rules.sign_in.aadsts import error_for, parse_codes
from entra_async.rules.sign_in.managed_identity import HostKind, IdentityHost
from entra_async.rules.sign_in.quoting import quote

__all__ = ("HostToken", "patience_s", "read_token", "refusal_for")

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
_DATES: Final = ("%m/%d/%Y %H:%M:%S +00:00", "%m/%d/%Y %I:%M:%S %p +00:00")


@dataclass(frozen=True, slots=True)
class HostToken:
    """
    A token as a host hands it out.

    Attributes:
        token: The secret itself.
        expires_on: Seconds since the epoch.
        refresh_on: Seconds since the epoch after which a new one should be asked for, or ``None``.
        token_type: ``"Bearer"``.
    """

    token: str = field(repr=False)
    expires_on: int
    refresh_on: int | None
    token_type: str


def patience_s(host: IdentityHost, status: int, *, attempt: int) -> float | None:
    """
    Return how many seconds to wait after a failure that passes, or ``None`` if the host has no rule of its own for it.

    Args:
        host: What answered.
        status: HTTP status of the answer.
        attempt: The number of the attempt that failed; the first is 1.
    """
    if host.kind is not HostKind.VIRTUAL_MACHINE or not (status in {_NOT_YET, _UPDATING, _BUSY} or status >= _FAILED):
        return None
    waits = _UPDATING_WAITS_S if status == _UPDATING else _WAITS_S
    return waits[min(attempt, len(waits)) - 1]


def read_token(host: IdentityHost, body: Any, *, asked_at: float) -> HostToken:
    """
    Return the token of an answer with status 200. Numbers may be texts, and the time to live comes in three ways.

    Args:
        host: What answered.
        body: The decoded JSON, or ``None`` if it was none.
        asked_at: When it was asked, in seconds since the epoch.

    Raises:
        CredentialUnavailableError: If that is no answer of such a host.
        AuthenticationError: If it holds no token that is good for anything.
    """
    if not isinstance(body, dict):
        message = f"{host.endpoint} answered, but not as {host.kind.value} does."
        raise CredentialUnavailableError(
            message, status=200, hint="A proxy or another service may answer in its place."
        )
    token, expires_on = body.get("access_token"), _expiry(body, asked_at)
    if not isinstance(token, str) or not token or expires_on is None:
        message = f"The answer of {host.kind.value} holds no token, or does not say how long it lives."
        raise AuthenticationError(message, status=200, hint=f"See what answers at {host.endpoint}.")
    if expires_on <= asked_at:
        message = f"{host.kind.value} handed out a token that has expired."
        raise AuthenticationError(message, status=200, hint="Check the machine's clock.")
    lifetime_s = expires_on - asked_at
    refresh_in = _number(body.get("refresh_in"))
    if refresh_in is None and lifetime_s >= _LONG_LIVED_S:
        refresh_in = lifetime_s // 2
    return HostToken(
        token=token,
        expires_on=expires_on,
        refresh_on=None if refresh_in is None else int(asked_at + refresh_in),
        token_type="Bearer",  # the only kind there is, whatever else an answer says of it
    )


def _expiry(body: Mapping[str, Any], asked_at: float) -> int | None:
    expires_in = _number(body.get("expires_in"))
    if expires_in is not None:
        return int(asked_at + expires_in)
    expires_on = body.get("expires_on")
    seconds = _number(expires_on)
    if seconds is not None:
        return int(seconds)
    for pattern in _DATES:  # Azure ML: on Linux, on Windows
        try:
            return int(datetime.strptime(str(expires_on), pattern).replace(tzinfo=UTC).timestamp())
        except ValueError:
            continue
    return None


def _number(value: Any) -> float | None:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        return int(value)
    return value if type(value) in (int, float) and 0 <= value < 10**12 else None


def refusal_for(host: IdentityHost, *, status: int, body: Any, text: str, attempts: int) -> AuthenticationError:
    """
    Return the error that a refusal is to be raised as.

    Args:
        host: What answered.
        status: HTTP status of the answer.
        body: The decoded JSON, or ``None`` if it was none.
        text: The answer as text.
        attempts: How many times it was asked.
    """
    error, said, correlation_id = _words(body)
    if parse_codes(said, None):
        passed_on = {"error": error, "error_description": said, "correlation_id": correlation_id}
        return error_for(status=status, body=passed_on, attempts=attempts)
    if body is None and status < _FAILED and not (status == _FORBIDDEN and "unreachable" in text):
        message = f"{host.endpoint} answered, but not as {host.kind.value} does (HTTP status {status})."
        hint = "A proxy or another service may answer in its place."
        return CredentialUnavailableError(message, hint=hint, status=status, attempts=attempts)
    refusal, message, hint = _explain(host, status, f"{error} {said}" if body is not None else text, attempts)
    quoted = f'It said: "{quote(said)}"' if said else f"(HTTP status {status})"
    return refusal(
        f"{message} {quoted}",
        hint=hint,
        status=status,
        error=error,
        correlation_id=correlation_id,
        attempts=attempts,
    )


def _explain(host: IdentityHost, status: int, said: str, attempts: int) -> tuple[type[AuthenticationError], str, str]:
    """Return which error it is, what is wrong, and what to do."""
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
        hint = "See that the process has the environment variables of its own host, not copied ones."
        return AuthenticationError, f"{who} does not take this process for its own.", hint
    if status in {_NOT_YET, _UPDATING, _BUSY} or status >= _FAILED:
        hint = "Try again shortly; if it stays so, check the resource asked for and the health of the host."
        return AuthenticationError, f"{who} failed, {attempts} times.", hint
    hint = "Check the resource asked for, identity_id and identity_type; or see what answers in its place."
    return AuthenticationError, f"{who} refused.", hint


def _words(body: Any) -> tuple[str | None, str, str | None]:
    """Return error, description and correlation id from the three shapes that hosts answer in."""
    if not isinstance(body, dict):
        return None, "", None
    error = body.get("error")
    if isinstance(error, dict):  # Service Fabric, Cloud Shell
        return _text(error.get("code")), _text(error.get("message")) or "", _text(error.get("correlationId"))
    said = body.get("error_description") or body.get("message") or ""  # IMDS; App Service
    return _text(error), _text(said) or "", _text(body.get("correlation_id"))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
