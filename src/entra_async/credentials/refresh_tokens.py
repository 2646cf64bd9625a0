"""The refresh tokens that a Session holds, so that one sign-in of a person can serve another connection."""

from __future__ import annotations

from typing import NamedTuple, final

__all__ = ("RefreshTokenOwner", "RefreshTokens")


class RefreshTokenOwner(NamedTuple):
    """
    What a refresh token is good for: it is bound to a client, and lives in one sign-in service.

    Attributes:
        authority: Root of the sign-in service.
        client_id: The application.
        tenant_id: Where the person signed in.
    """

    authority: str
    client_id: str
    tenant_id: str


@final
class RefreshTokens:
    """Every refresh token that some token source of a Session holds now, and whose it is."""

    def __init__(self) -> None:
        self._held: dict[RefreshTokenOwner, dict[object, tuple[str, str | None]]] = {}

    def keep(self, holder: RefreshTokenOwner, source: object, refresh_token: str, *, user_name: str | None) -> None:
        """Note what *source* holds now; it replaces what it held before."""
        tokens = self._held.setdefault(holder, {})
        tokens.pop(source, None)
        tokens[source] = refresh_token, user_name

    def newest(self, holder: RefreshTokenOwner, *, user_name: str | None) -> str | None:
        """Return the refresh token that came last, of that person if one is named; or ``None``."""
        tokens = self._held.get(holder, {})
        for refresh_token, whose in reversed(tokens.values()):
            if user_name is None or (whose is not None and whose.lower() == user_name.lower()):
                return refresh_token
        return None

    def drop(self, holder: RefreshTokenOwner, source: object) -> None:
        """Forget what *source* held."""
        tokens = self._held.get(holder, {})
        tokens.pop(source, None)
        if not tokens:
            self._held.pop(holder, None)
