"""The refresh tokens of a Session, so that one sign-in of a user can serve another connection."""

from __future__ import annotations

from typing import NamedTuple, final

__all__ = ("RefreshTokenOwner", "RefreshTokens")


class RefreshTokenOwner(NamedTuple):
    """
    Who can redeem a refresh token: it is bound to a client and a sign-in service.

    Attributes:
        authority: Root of the sign-in service.
        client_id: The application.
        tenant_id: Where the user signed in.
    """

    authority: str
    client_id: str
    tenant_id: str


@final
class RefreshTokens:
    """The current refresh token of each token source of a Session, by owner."""

    def __init__(self) -> None:
        self._tokens: dict[RefreshTokenOwner, dict[object, tuple[str, str | None]]] = {}

    def put(self, owner: RefreshTokenOwner, source: object, refresh_token: str, *, user_name: str | None) -> None:
        """Set the refresh token of *source*, in place of an earlier one."""
        tokens = self._tokens.setdefault(owner, {})
        tokens.pop(source, None)
        tokens[source] = refresh_token, user_name

    def newest(self, owner: RefreshTokenOwner, *, user_name: str | None) -> str | None:
        """Return the newest refresh token, of that user if one is named; or ``None``."""
        tokens = self._tokens.get(owner, {})
        for refresh_token, signed_in in reversed(tokens.values()):
            if user_name is None or (signed_in is not None and signed_in.lower() == user_name.lower()):
                return refresh_token
        return None

    def remove(self, owner: RefreshTokenOwner, source: object) -> None:
        """Remove the refresh token of *source*."""
        tokens = self._tokens.get(owner, {})
        tokens.pop(source, None)
        if not tokens:
            self._tokens.pop(owner, None)
