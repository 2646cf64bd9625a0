"""
Continuous access evaluation: access tokens that are revoked before they expire, and claims challenges.

Sources:
    https://learn.microsoft.com/en-us/entra/identity/conditional-access/concept-continuous-access-evaluation
    https://learn.microsoft.com/en-us/entra/identity-platform/claims-challenge
    https://learn.microsoft.com/en-us/entra/identity-platform/developer-guide-conditional-access-authentication-context
"""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.clock import EmulatorClock

__all__ = ("AccessEvaluation", "ChallengeForm")

ChallengeForm = Literal["plain", "for_urls", "beside_others", "two_lines", "session_revoked"]
_AUTHORIZATION_URI: Final = "https://login.microsoftonline.com/common/oauth2/authorize"
_REMEMBERED_TOKENS: Final = 100_000


class AccessEvaluation:
    """
    Revocations and requirements beyond a token's own claims.

    Only a client that declares to handle claims challenges (``cp1``) is challenged. Other tokens stay good until they
    expire, unless :meth:`reject_tokens` ends them.

    Attributes:
        challenge_form: How challenges are written: ``"plain"``; Base64 ``"for_urls"``, without padding;
            ``"beside_others"`` in one line, the parameters in another order; in ``"two_lines"``; or as
            ``"session_revoked"``, which calls the token invalid.
    """

    def __init__(self, clock: EmulatorClock) -> None:
        self.challenge_form: ChallengeForm = "plain"
        self._clock = clock
        self._valid_from: dict[str, int] = {}
        self._context: str | None = None
        self._issued: set[str] = set()
        self._rejected: set[str] = set()

    def revoke(self, object_id: str) -> None:
        """Challenge tokens that were made for that user or app before now."""
        self._valid_from[object_id] = int(self._clock.now())

    def reject_tokens(self) -> None:
        """Reject every access token issued so far with a plain 401, at every service, as after a change of keys."""
        self._rejected |= self._issued
        self._issued.clear()

    def require_authentication_context(self, context: str | None) -> None:
        """Challenge tokens without that authentication context, such as ``"c1"``; ``None`` to require none."""
        self._context = context

    def record_issued(self, token_id: str) -> None:
        """Record that a token was issued."""
        if len(self._issued) >= _REMEMBERED_TOKENS:
            self._issued.clear()
        self._issued.add(token_id)

    def is_rejected(self, claims: Mapping[str, Any]) -> bool:
        """Return whether a token is rejected with a plain 401."""
        return claims.get("uti") in self._rejected

    def required_claims(self, claims: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return the claims request for the next token, or ``None`` if this one will do."""
        if "cp1" not in claims.get("xms_cc", ()):
            return None
        valid_from = self._valid_from.get(claims["oid"], 0)
        if claims["nbf"] < valid_from:
            return {"access_token": {"nbf": {"essential": True, "value": str(valid_from)}}}
        if self._context is not None and self._context not in claims.get("acrs", ()):
            return {"access_token": {"acrs": {"essential": True, "value": self._context}}}
        return None

    def challenges(self, required: Mapping[str, Any]) -> list[str]:
        """Return the ``WWW-Authenticate`` lines of that claims challenge."""
        text = json.dumps(required).encode()
        claims = base64.b64encode(text).decode()
        where = f'realm="", authorization_uri="{_AUTHORIZATION_URI}"'
        error = 'error="insufficient_claims"'
        match self.challenge_form:
            case "for_urls":
                short = base64.urlsafe_b64encode(text).decode().rstrip("=")
                return [f'Bearer {where}, {error}, claims="{short}"']
            case "beside_others":
                return [f'PoP nonce="a, \\"b\\"", Bearer claims="{claims}", {error}, {where}, Negotiate']
            case "two_lines":
                return ['PoP nonce="n"', f'Bearer {where}, {error}, claims="{claims}"']
            case "session_revoked":
                reason = 'error="invalid_token", error_description="User session has been revoked"'
                return [f'Bearer {where}, {reason}, claims="{claims}"']
            case _:
                return [f'Bearer {where}, {error}, claims="{claims}"']
