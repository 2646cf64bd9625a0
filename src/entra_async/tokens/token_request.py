"""One question for a token: what is asked, and of whom, first of all the store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

from entra_async.errors import AuthenticationError, InteractionRequiredError
from entra_async.rules.tokens.claims import covers, merge_claims
from entra_async.tokens.in_flight import Refusal
from entra_async.tokens.key import AccountPolicy, TokenKey
from entra_async.tokens.shared import SharedTokens, TokenResponse
from entra_async.tokens.source import PersonalSource, RenewingSource, TokenSource
from entra_async.tokens.token import Token

__all__ = ("TokenRequest", "find_name")

_BAD_REQUEST: Final = 400


@final
@dataclass(frozen=True, slots=True)
class TokenRequest:
    """
    What is asked.

    Attributes:
        key: For what.
        source: Of whom.
        terms: What is known of the account.
        refusal: The token that was refused since the last answer, if one was.
        remembered: What services demanded of earlier tokens, a JSON text, or ``None``. It is asked for as long as that
            is granted without a person; else the token is to be had without it.
        is_worthwhile: Whether a token of the store lives long enough to be taken.
        silent: Whether a person may not be asked.
    """

    key: TokenKey
    source: TokenSource
    terms: AccountPolicy
    refusal: Refusal | None
    remembered: str | None
    is_worthwhile: Callable[[Token], bool]
    silent: bool

    async def put(self, shared: SharedTokens | None) -> TokenResponse:
        """
        Ask.

        Args:
            shared: What is in common with other processes, if anything.

        Raises:
            AuthenticationError: If there is no token to be had.
        """
        demanded = None if self.refusal is None else self.refusal.claims
        if self.remembered is not None:
            silent = self.silent or demanded is None
            try:
                return await self._fetch(shared, merge_claims(self.remembered, demanded), silent=silent)
            except AuthenticationError as error:
                if not (isinstance(error, InteractionRequiredError) or error.status == _BAD_REQUEST):
                    raise
        return await self._fetch(shared, demanded, silent=self.silent)

    async def _fetch(self, shared: SharedTokens | None, demanded: str | None, *, silent: bool) -> TokenResponse:
        source, key = self.source, self.key
        ask_source = source.renew if silent and isinstance(source, RenewingSource) else source.get_token

        def ask() -> Awaitable[Token]:
            claims = merge_claims(key.claims, demanded)
            return ask_source(*key.scopes, claims=claims, tenant_id=key.tenant_id, enable_cae=key.enable_cae)

        def is_enough(known: TokenResponse) -> bool:
            if self.refusal is not None and known.token.token == self.refusal.secret:
                return False
            return covers(known.claims, demanded) and self.is_worthwhile(known.token)

        if shared is None or self.terms.stored_as is None:
            return TokenResponse(await ask(), demanded, "service")
        stored_as = self.terms.stored_as
        return await shared.fetch(
            key.stored_under(stored_as, ""),
            ask,
            claims=demanded,
            is_enough=is_enough,
            find_name=lambda: find_name(key, source, stored_as),
        )


async def find_name(key: TokenKey, source: TokenSource, stored_as: str) -> str | None:
    """Return the name that a token is kept under, never the same for two people; ``None`` if nobody is signed in."""
    sign_in = await source.sign_in_id() if isinstance(source, PersonalSource) else ""
    return None if sign_in is None else key.stored_under(stored_as, sign_in)
