"""
Entra ID's errors: cause, remedy, and the exception to raise. Pure: no I/O, no clock.

Microsoft asks programs to act on ``error`` and ``suberror``, and to use the AADSTS code for diagnosis, since a code
may be split into finer ones. So for a code that is not in the tables, the OAuth error decides.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/reference-error-codes
    RFC 6749, section 5.2 (token errors); RFC 8628, section 3.5 (device code errors)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from entra_async.errors import AuthenticationError, ConsentRequiredError, InteractionRequiredError
from entra_async.rules.sign_in import aadsts_application, aadsts_user

__all__ = ("ErrorKind", "Explanation", "error_for", "explain", "first_line", "is_transient", "parse_codes")


class ErrorKind(Enum):
    """Who or what can resolve an error."""

    CONFIGURATION = "configuration"
    """The registration, the tenant or the cloud is not as the request assumes."""
    CREDENTIAL = "credential"
    """The application's secret, certificate or assertion is rejected."""
    ACCOUNT = "account"
    """The user's account or password is rejected."""
    INTERACTION = "interaction"
    """The user has to sign in."""
    CONSENT = "consent"
    """A permission has to be granted."""
    ADMIN = "admin"
    """A policy blocks it; only an administrator can change that."""
    TRANSIENT = "transient"
    """The service failed; the same request may succeed shortly."""
    BUG = "bug"
    """The request itself is wrong and will stay so."""
    PENDING = "pending"
    """Nothing is wrong yet: poll on."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """
    The meaning of an error.

    Attributes:
        kind: Who or what can resolve it.
        cause: What is wrong, in one sentence.
        remedy: What to do about it, in one sentence.
    """

    kind: ErrorKind
    cause: str
    remedy: str


_BY_CODE: Final[Mapping[int, Explanation]] = {
    code: Explanation(kind, *texts)
    for kind, table in (
        (ErrorKind.CONFIGURATION, aadsts_application.CONFIGURATION),
        (ErrorKind.CREDENTIAL, aadsts_application.CREDENTIAL),
        (ErrorKind.BUG, aadsts_application.BUG),
        (ErrorKind.TRANSIENT, aadsts_application.TRANSIENT),
        (ErrorKind.PENDING, aadsts_application.PENDING),
        (ErrorKind.INTERACTION, aadsts_user.INTERACTION),
        (ErrorKind.CONSENT, aadsts_user.CONSENT),
        (ErrorKind.ACCOUNT, aadsts_user.ACCOUNT),
        (ErrorKind.ADMIN, aadsts_user.ADMIN),
    )
    for code, texts in table.items()
}

# An OAuth error without a code that is known: what it means to RFC 6749, RFC 8628 and Microsoft's pages.
_BY_ERROR: Final[Mapping[str, ErrorKind]] = {
    "access_denied": ErrorKind.ACCOUNT,
    "authorization_declined": ErrorKind.ACCOUNT,
    "authorization_pending": ErrorKind.PENDING,
    "bad_verification_code": ErrorKind.BUG,
    "consent_required": ErrorKind.CONSENT,
    "expired_token": ErrorKind.INTERACTION,
    "interaction_required": ErrorKind.INTERACTION,
    "invalid_client": ErrorKind.CREDENTIAL,
    "invalid_grant": ErrorKind.INTERACTION,
    "invalid_instance": ErrorKind.CONFIGURATION,
    "invalid_request": ErrorKind.BUG,
    "invalid_resource": ErrorKind.CONFIGURATION,
    "invalid_scope": ErrorKind.BUG,
    "invalid_tenant": ErrorKind.CONFIGURATION,
    "login_required": ErrorKind.INTERACTION,
    "server_error": ErrorKind.TRANSIENT,
    "slow_down": ErrorKind.PENDING,
    "temporarily_unavailable": ErrorKind.TRANSIENT,
    "unauthorized_client": ErrorKind.CONFIGURATION,
    "unsupported_grant_type": ErrorKind.BUG,
    "unsupported_response_type": ErrorKind.BUG,
}

_BY_KIND: Final[Mapping[ErrorKind, Explanation]] = {
    kind: Explanation(kind, cause, remedy)
    for kind, cause, remedy in (
        (
            ErrorKind.CONFIGURATION,
            "The application, the tenant or the resource is not set up for this.",
            "Check client_id=, tenant_id= and the scopes against the app registration.",
        ),
        (
            ErrorKind.CREDENTIAL,
            "The application's credential was rejected.",
            "Check the secret, certificate or assertion against Certificates & secrets of the app registration.",
        ),
        (ErrorKind.ACCOUNT, "The sign-in was cancelled or declined.", "Sign in again and accept."),
        (
            ErrorKind.INTERACTION,
            "The user has to sign in before a token is issued.",
            "Sign in with Browser or DeviceCode.",
        ),
        (
            ErrorKind.CONSENT,
            "A requested permission has not been granted.",
            "Sign in with Browser and consent, or have an administrator grant it under API permissions.",
        ),
        (ErrorKind.TRANSIENT, "The token service is busy or failed.", "Try again shortly."),
        (ErrorKind.BUG, "The token service did not accept the request.", "Check the scopes and every value given."),
        (ErrorKind.PENDING, "The sign-in is not finished yet.", "Finish it on the page shown."),
    )
}

# Microsoft's finer classes that mean: go through the sign-in page.
# https://learn.microsoft.com/en-us/entra/msal/dotnet/advanced/exceptions/ (UiRequiredExceptionClassification)
_INTERACTIVE: Final = frozenset({"additional_action", "basic_action", "user_password_expired"})
_LOOP: Final = 50196

# No code has more digits, and int() refuses texts that are very long.
_CODE: Final = re.compile(r"AADSTS([0-9]{1,9})(?![0-9])")
_LEADING_CODES: Final = re.compile(r"\s*(?:AADSTS[0-9]+:\s*)+")
_TRACE_ID: Final = re.compile(r"\bTrace ID:\s*([0-9A-Fa-f-]*)")
_CORRELATION_ID: Final = re.compile(r"\bCorrelation ID:\s*([0-9A-Fa-f-]*)")
_TIMESTAMP: Final = re.compile(r"\bTimestamp:\s*[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9:.]+Z?")
# No word of a message is this long, but tokens, assertions and codes are, should they ever be echoed.
_TOKEN: Final = re.compile(r"[\w.~+=-]{80,}")


def explain(code: int) -> Explanation | None:
    """Return what an AADSTS code means, such as 7000215, or ``None`` when it is not in the tables."""
    return _BY_CODE.get(code)


def parse_codes(error_description: str, error_codes: Sequence[int] | None) -> tuple[int, ...]:
    """
    Return the AADSTS codes of an error, each once, in their order.

    Args:
        error_description: Searched for ``AADSTS…`` when *error_codes* holds none. May be any text.
        error_codes: The member of that name, or ``None``. What is not a possible code in it is ignored.
    """
    listed = [code for code in error_codes or () if type(code) is int and 0 < code < 10**9]
    found = listed or [int(digits) for digits in _CODE.findall(error_description)]
    return tuple(dict.fromkeys(found))


def first_line(description: str) -> str:
    r"""
    Return what an ``error_description`` says, on one line: without leading codes, ids and time.

    Entra ID joins the ids to the text with CRLF, or newly with blanks; both are understood.

    Example:
        >>> first_line("AADSTS50126: Wrong password.\r\nTrace ID: 0a-1b\r\nTimestamp: 2026-01-31 12:00:00Z")
        'Wrong password.'
    """
    leading = _LEADING_CODES.match(description)
    text = description[leading.end() :] if leading else description
    for noise in (_TRACE_ID, _CORRELATION_ID, _TIMESTAMP):
        text = noise.sub(" ", text)
    # Control characters would let a service write into a terminal or start a new line in a log.
    return " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())


def is_transient(status: int | None, body: Mapping[str, Any]) -> bool:
    """
    Return whether the same token request may succeed after a while.

    ``AADSTS50196`` is never transient, whatever comes with it: it means that the request was sent too often.

    Args:
        status: HTTP status, or ``None`` when the error came another way, such as a redirect.
        body: The JSON object of the response, or an empty one. Members of a wrong type are ignored.
    """
    codes = _codes(body)
    if _LOOP in codes:
        return False
    if status is not None and (status in {408, 429} or 500 <= status <= 599):
        return True
    if body.get("error") in ("temporarily_unavailable", "server_error"):
        return True
    explanation = _BY_CODE.get(_chosen(codes))
    return explanation is not None and explanation.kind is ErrorKind.TRANSIENT


def error_for(*, status: int | None, body: Mapping[str, Any], attempts: int = 1) -> AuthenticationError:
    """
    Return the exception to raise for an error of Entra ID.

    Args:
        status: HTTP status, or ``None`` when the error came another way, such as a redirect.
        body: The JSON object of the response, what MSAL made of it, or an empty one. Members of a wrong type are
            ignored.
        attempts: How many token requests were sent.

    Returns:
        A :exc:`~entra_async.errors.ConsentRequiredError`, :exc:`~entra_async.errors.InteractionRequiredError` or plain
        :exc:`~entra_async.errors.AuthenticationError`, with cause, remedy and the ids that Microsoft's support needs.
    """
    error, suberror, claims = _text(body, "error"), _text(body, "suberror"), _text(body, "claims")
    description = _text(body, "error_description") or ""
    code = _chosen(_codes(body))
    explanation = _explanation(code, error, status)
    return _error_class(explanation, error, suberror, claims)(
        _message(code, error, status, explanation, description),
        hint=_hint(code, explanation),
        code=f"AADSTS{code}" if code else None,
        error=error,
        suberror=suberror,
        status=status,
        claims=claims,
        correlation_id=_text(body, "correlation_id") or _id(_CORRELATION_ID, description),
        trace_id=_text(body, "trace_id") or _id(_TRACE_ID, description),
        attempts=attempts,
    )


def _text(body: Mapping[str, Any], name: str) -> str | None:
    value = body.get(name)
    return value if isinstance(value, str) and value else None


def _id(pattern: re.Pattern[str], description: str) -> str | None:
    found = pattern.search(description)
    return found[1] or None if found else None


def _codes(body: Mapping[str, Any]) -> tuple[int, ...]:
    listed = body.get("error_codes")
    return parse_codes(_text(body, "error_description") or "", listed if isinstance(listed, list | tuple) else None)


def _chosen(codes: tuple[int, ...]) -> int:
    """Return the first code that can be explained, else the first, else 0, which is no code."""
    return next((code for code in codes if code in _BY_CODE), codes[0] if codes else 0)


def _explanation(code: int, error: str | None, status: int | None) -> Explanation | None:
    if code in _BY_CODE:
        return _BY_CODE[code]
    kind = _BY_ERROR.get(error) if error else None
    if kind is None and status is not None and (status in {408, 429} or status >= 500):
        kind = ErrorKind.TRANSIENT
    return _BY_KIND[kind] if kind else None


def _error_class(
    explanation: Explanation | None, error: str | None, suberror: str | None, claims: str | None
) -> type[AuthenticationError]:
    kind = explanation.kind if explanation else None
    if kind is ErrorKind.CONSENT or "consent_required" in (error, suberror):
        return ConsentRequiredError
    if kind is ErrorKind.INTERACTION or suberror in _INTERACTIVE:
        return InteractionRequiredError
    # Signing in can mend an expired password, but not a policy, a registration or a credential.
    if kind in (None, ErrorKind.ACCOUNT) and (claims or error in ("interaction_required", "login_required")):
        return InteractionRequiredError
    return AuthenticationError


def _message(
    code: int, error: str | None, status: int | None, explanation: Explanation | None, description: str
) -> str:
    name = f"AADSTS{code}" if code else _quote(error or "", 80)
    cause = explanation.cause if explanation else "The token service gave no token."
    parts = [f"{name}: {cause}" if name else cause]
    if said := _quote(description, 600):
        parts.append(f'(Entra ID said: "{said}")')
    elif status is not None and not name:
        parts.append(f"(HTTP status {status})")
    return " ".join(parts)


def _quote(said: str, length: int) -> str:
    text = _TOKEN.sub("…", first_line(said))
    return text if len(text) <= length else f"{text[:length]}…"


def _hint(code: int, explanation: Explanation | None) -> str:
    remedy = explanation.remedy if explanation else "Microsoft's support takes the correlation id."
    if code and code not in _BY_CODE:
        return f"{remedy} Microsoft explains the code at https://login.microsoftonline.com/error?code={code}."
    return remedy
