"""What the broker asks for tokens."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from entra_async.tokens.token import Token

__all__ = ("PersonalSource", "RenewingSource", "SigningOutSource", "TokenSource")


class TokenSource(Protocol):
    """
    A live way to sign in. It asks its engine each time: the broker is the only cache of access tokens.

    The shape is azure-core's ``AsyncTokenCredential``.
    """

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """
        Ask for a new token.

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
        """Give up what it holds."""
        ...


@runtime_checkable
class RenewingSource(TokenSource, Protocol):
    """A source that may have to ask a person, and can be told not to."""

    async def renew(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """
        Ask for a new token as ``get_token`` does, but never a person.

        Raises:
            InteractionRequiredError: If only a person could help.
            AuthenticationError: If the token service refuses or cannot be reached.
        """
        ...


@runtime_checkable
class PersonalSource(TokenSource, Protocol):
    """A source whose provider does not say which person will sign in: two may do so one after the other."""

    async def sign_in_id(self) -> str | None:
        """
        Return what stands for the sign-in that its tokens come from; that never changes to another person's.

        Returns:
            ``None`` as long as nobody has signed in, or if the sign-in is not shared with other processes; empty if the
            provider says all there is to say.
        """
        ...


@runtime_checkable
class SigningOutSource(TokenSource, Protocol):
    """A source that leaves something behind when it is closed, for the next start."""

    async def sign_out(self) -> None:
        """Leave nothing behind."""
        ...
