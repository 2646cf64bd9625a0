"""One token request, to the store first, then to a token source."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from entra_async.errors import AuthenticationError, InteractionRequiredError
from entra_async.rules.tokens.claims import covers, merge_claims
from entra_async.tokens.in_flight import Rejection
from entra_async.tokens.key import AccountPolicy, TokenKey
from entra_async.tokens.shared import SharedTokens, TokenResponse
from entra_async.tokens.source import SupportsSignInId, SupportsSilentRequest, TokenSource
from entra_async.tokens.token import Token

__all__ = ("TokenRequest", "find_name")

_BAD_REQUEST: Final = 400


@final
@dataclass(frozen=True, slots=True)
class TokenRequest:
    """
    One token request.

    Attributes:
        key: The token's key.
        source: Where it is requested.
        policy: What is known of the account.
        rejection: The token that a service has rejected since the last response, if any.
        lasting_claims: What services demanded of earlier tokens, a JSON text, or ``None``. It is requested as long as
            that is granted without user interaction; else the token is requested without it.
        lives_long_enough: Whether a token of the store can be used.
        interactive: Whether user interaction is allowed.
    """

    key: TokenKey
    source: TokenSource
    policy: AccountPolicy
    rejection: Rejection | None
    lasting_claims: str | None
    lives_long_enough: Callable[[Token], bool]
    interactive: bool

    async def send(self, shared: SharedTokens | None) -> TokenResponse:
        """
        Return the token response.

        Args:
            shared: The token store that other processes use as well, if any.

        Raises:
            AuthenticationError: If there is no token to be had.
        """
        demanded = None if self.rejection is None else self.rejection.claims
        if self.lasting_claims is not None:
            interactive = self.interactive and demanded is not None
            try:
                return await self._send(shared, merge_claims(self.lasting_claims, demanded), interactive=interactive)
            except AuthenticationError as error:
                if not (isinstance(error, InteractionRequiredError) or error.status == _BAD_REQUEST):
                    raise
        return await self._send(shared, demanded, interactive=self.interactive)

    async def _send(self, shared: SharedTokens | None, demanded: str | None, *, interactive: bool) -> TokenResponse:
        source, key = self.source, self.key
        if not interactive and isinstance(source, SupportsSilentRequest):
            get_token = source.get_token_silently
        else:
            get_token = source.get_token

        def request() -> Awaitable[Token]:
            claims = merge_claims(key.claims, demanded)
            return get_token(*key.scopes, claims=claims, tenant_id=key.tenant_id, enable_cae=key.enable_cae)

        def is_acceptable(stored: TokenResponse) -> bool:
            if self.rejection is not None and stored.token.token == self.rejection.secret:
                return False
            return covers(stored.claims, demanded) and self.lives_long_enough(stored.token)

        if shared is None or self.policy.stored_as is None:
            return TokenResponse(await request(), demanded, "service")
        stored_as = self.policy.stored_as
        return await shared.fetch(
            key.stored_under(stored_as, ""),
            request,
            claims=demanded,
            is_acceptable=is_acceptable,
            find_name=lambda: find_name(key, source, stored_as),
        )


async def find_name(key: TokenKey, source: TokenSource, stored_as: str) -> str | None:
    """Return the name of a stored token, never the same for two users; ``None`` if nobody is signed in."""
    sign_in = await source.sign_in_id() if isinstance(source, SupportsSignInId) else ""
    return None if sign_in is None else key.stored_under(stored_as, sign_in)
