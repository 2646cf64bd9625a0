"""Token sources: where the broker requests tokens."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from entra_async.tokens.token import Token

__all__ = ("SupportsSignInId", "SupportsSignOut", "SupportsSilentRequest", "TokenSource")


class TokenSource(Protocol):
    """
    Requests tokens, anew each time: the broker is the only cache of access tokens.

    The protocol is azure-core's ``AsyncTokenCredential``.
    """

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """
        Request a new token.

        Args:
            scopes: Of one resource, such as ``https://graph.microsoft.com/.default``.
            claims: What a service demanded beyond that, as a JSON text.
            tenant_id: Another tenant than the provider's.
            enable_cae: Whether the caller can handle continuous access evaluation.

        Raises:
            AuthenticationError: If the token service refuses or cannot be reached.
        """
        ...

    async def aclose(self) -> None:
        """Release its resources."""
        ...


@runtime_checkable
class SupportsSilentRequest(TokenSource, Protocol):
    """A source that may need user interaction, and can be told not to."""

    async def get_token_silently(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """
        Request a new token as ``get_token`` does, without user interaction.

        Raises:
            InteractionRequiredError: If there is no other way.
            AuthenticationError: If the token service refuses or cannot be reached.
        """
        ...


@runtime_checkable
class SupportsSignInId(TokenSource, Protocol):
    """A source whose provider does not say which user will sign in: two may do so one after the other."""

    async def sign_in_id(self) -> str | None:
        """
        Return the id of the sign-in that its tokens come from; it never changes to another user's.

        Returns:
            ``None`` as long as nobody has signed in, or if the sign-in is not shared with other processes; empty if the
            provider identifies the user.
        """
        ...


@runtime_checkable
class SupportsSignOut(TokenSource, Protocol):
    """A source whose sign-in outlives it in the store."""

    async def sign_out(self) -> None:
        """Delete the stored sign-in."""
        ...
