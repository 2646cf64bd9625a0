"""How a service of the emulator judges the access token of a request."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

import jwt

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.crypto.signing import SigningKey
    from entra_async.testing.entra.tenant import Tenant
    from entra_async.testing.entra.tokens.access_evaluation import AccessEvaluation
    from entra_async.testing.wire.incoming_request import IncomingRequest

__all__ = ("Access", "AccessTokenVerifier", "Authorize", "Unauthorized")

_REMEMBERED_TOKENS: Final = 10_000


class Unauthorized(Exception):  # noqa: N818 -- a response of the service, not an error of this program
    """
    The request carries no valid access token; the service responds with 401.

    Attributes:
        message: Why, as Microsoft Graph puts it.
        challenges: The ``WWW-Authenticate`` lines, if it is a claims challenge.
    """

    def __init__(self, message: str, challenges: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.challenges = challenges


@dataclass(frozen=True, slots=True)
class Access:
    """
    A verified access token.

    Attributes:
        claims: The JWT's claims.
        roles: Its app roles, or its delegated scopes.
        app_only: Whether an app signed in by itself, without a user.
    """

    claims: Mapping[str, Any]
    roles: frozenset[str]
    app_only: bool


class Authorize(Protocol):
    """What a service calls before it does anything else."""

    def __call__(self, request: IncomingRequest, audiences: Collection[str]) -> Access:
        """
        Return what the request's access token allows.

        Args:
            request: The request as it arrived.
            audiences: What the token may have been made for.

        Raises:
            Unauthorized: If there is no token, or it is forged, expired, or made for another service or tenant.
        """


class AccessTokenVerifier:
    """
    Judges access tokens by their signature, audience, times and tenant, and by what became of them since.

    Args:
        tenant: Who may have issued them.
        key: What they are signed with.
        clock: What time it is.
        evaluation: Knows which of them are rejected.
        challenges: Whether the service takes part in continuous access evaluation.
    """

    def __init__(
        self,
        *,
        tenant: Tenant,
        key: SigningKey,
        clock: EmulatorClock,
        evaluation: AccessEvaluation,
        challenges: bool = False,
    ) -> None:
        self._evaluation = evaluation
        self._challenges = challenges
        self._tenant = tenant
        self._key = key
        self._clock = clock
        # A signature does not change: a token sent a thousand times is verified once. Its times are checked each time.
        self._verified: dict[str, Access] = {}

    def __call__(self, request: IncomingRequest, audiences: Collection[str]) -> Access:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        token = token.strip()
        if scheme.lower() != "bearer" or not token:
            message = "Access token is empty."
            raise Unauthorized(message)
        access = self._verified.get(token) or self._verify(token)
        if not access.claims["nbf"] <= self._clock.now() < access.claims["exp"]:
            message = "Access token has expired or is not yet valid."
            raise Unauthorized(message)
        if access.claims["aud"] not in audiences:
            message = "Access token validation failure. Invalid audience."
            raise Unauthorized(message)
        if access.claims["tid"] != self._tenant.id:
            message = "Access token validation failure. Invalid tenant."
            raise Unauthorized(message)
        if self._evaluation.is_rejected(access.claims):
            message = "Access token validation failure. Invalid signature."
            raise Unauthorized(message)
        required = self._evaluation.required_claims(access.claims) if self._challenges else None
        if required is not None:
            message = "Continuous access evaluation resulted in challenge with result: InteractionRequired."
            raise Unauthorized(message, self._evaluation.challenges(required))
        return access

    def _verify(self, token: str) -> Access:
        try:
            claims = self._key.verify(token)
        except jwt.InvalidSignatureError as error:
            message = "Access token validation failure. Invalid signature."
            raise Unauthorized(message) from error
        except jwt.InvalidTokenError as error:
            message = "Access token validation failure. JWT is not well formed."
            raise Unauthorized(message) from error
        app_only = claims.get("idtyp") == "app"
        roles = claims.get("roles", ()) if app_only else claims.get("scp", "").split()
        access = Access(claims, frozenset(roles), app_only)
        if len(self._verified) >= _REMEMBERED_TOKENS:
            self._verified.clear()
        self._verified[token] = access
        return access
