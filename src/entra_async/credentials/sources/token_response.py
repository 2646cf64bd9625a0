"""MSAL's result, as a token."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from entra_async.errors import AuthenticationError
from entra_async.tokens.token import Token

__all__ = ("token_from",)

_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")  # what a header can carry


def token_from(result: Mapping[str, Any], *, requested_at: float) -> Token:
    """
    Return the token of MSAL's *result*.

    Args:
        result: With ``access_token``, ``expires_in`` (seconds), and perhaps ``refresh_on`` and ``token_type`` (Bearer).
        requested_at: When it was requested, in seconds since the epoch: its life is counted from then, to be safe.

    Raises:
        AuthenticationError: If it holds no token, or does not say how long it lives.
    """
    token, lifetime_s, refresh_on = result.get("access_token"), result.get("expires_in"), result.get("refresh_on")
    kind = result.get("token_type", "Bearer")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        message = "The token service sent a token that is no bearer token."
        raise AuthenticationError(message, hint="Check authority=: this may not be a token service of Entra ID.")
    if (
        not isinstance(token, str)
        or not _VISIBLE.fullmatch(token)
        or not isinstance(lifetime_s, int)
        or lifetime_s <= 0
    ):
        message = "The token response holds no token, or does not say how long it lives."
        raise AuthenticationError(message, hint="Check authority=: this may not be a token service of Entra ID.")
    return Token(
        token=token,
        expires_on=int(requested_at + lifetime_s),
        # MSAL counts it by the machine's clock, which need not be ours.
        refresh_on=int(requested_at + refresh_on - time.time()) if isinstance(refresh_on, int) else None,
    )
