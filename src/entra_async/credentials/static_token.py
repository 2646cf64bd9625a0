"""Sign in with an access token that was issued elsewhere."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from entra_async.config import Clock
from entra_async.credentials.provider import SignInContext
from entra_async.errors import AuthenticationError, ConfigurationError, InteractionRequiredError
from entra_async.rules.sign_in.identifiers import check_secret
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

__all__ = ("StaticToken", "check_access_token", "check_expires_on")

_YEAR_10000_S = 253402300800


def check_access_token(token: object, *, field: str) -> str:
    """
    Return *token* if it can be sent in a header. The message never repeats it.

    Raises:
        ConfigurationError: If it is no text, is empty, or holds a blank or what is not ASCII.

    Source:
        RFC 6750, section 2.1: https://www.rfc-editor.org/rfc/rfc6750#section-2.1
    """
    checked = check_secret(token, field=field)
    if not checked.isascii() or not checked.isprintable() or " " in checked:
        message = f"{field} holds a blank or another character that no access token has."
        hint = "Give the token alone: without 'Bearer', quotes or line breaks."
        raise ConfigurationError(message, field=field, hint=hint)
    return checked


def check_expires_on(value: object, *, field: str) -> int:
    """
    Return *value* in whole seconds since the epoch.

    Raises:
        ConfigurationError: If it is no number, or one that cannot be meant, such as milliseconds.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < _YEAR_10000_S:
        # A text may be the token, put in the wrong place.
        message = f"{field} is {value!r}." if isinstance(value, int | float | None) else f"{field} is no number."
        hint = "Give seconds since the epoch (1970), as time.time() counts them."
        raise ConfigurationError(message, field=field, hint=hint)
    return math.floor(value)


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class StaticToken:
    """
    An access token that was issued elsewhere. It is used until it expires and never renewed.

    It is returned for any scope: whether it fits is for the service to judge.

    Attributes:
        token: The access token.
        expires_on: Seconds since the epoch after which it is worthless. By default what the token says (``exp``).

    Raises:
        ConfigurationError: If the token cannot be one, or its expiry is neither given nor in it.

    Example:
        >>> StaticToken(token="opaque", expires_on=1893456000)
        StaticToken(expires_on=1893456000)
    """

    token: str = field(repr=False)
    expires_on: int | None = None

    def __post_init__(self) -> None:
        check_access_token(self.token, field="token")
        if self.expires_on is not None:
            object.__setattr__(self, "expires_on", check_expires_on(self.expires_on, field="expires_on"))
            return
        expires_on = Token(self.token, 0).claims.get("exp")
        if expires_on is None:
            message = "The token does not say when it expires."
            raise ConfigurationError(message, field="expires_on", hint="Give expires_on=, in seconds since the epoch.")
        object.__setattr__(self, "expires_on", check_expires_on(expires_on, field="expires_on"))

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        assert self.expires_on is not None  # since __post_init__
        return _StaticTokenSource(Token(self.token, self.expires_on), context.clock)


@dataclass(frozen=True, slots=True)
class _StaticTokenSource:
    token: Token
    clock: Clock

    async def get_token(self, *_: str, claims: str | None = None, tenant_id: str | None = None, **__: Any) -> Token:
        """Return the token; see :class:`entra_async.tokens.source.TokenSource`."""
        if self.clock.now() >= self.token.expires_on:
            message = f"The static token expired at {datetime.fromtimestamp(self.token.expires_on, UTC)}."
            hint = "Connect again with a new StaticToken, or with a provider that renews by itself."
            raise AuthenticationError(message, hint=hint)
        if claims is not None:
            message = "The service demands a token with further claims, and a static token is never renewed."
            raise InteractionRequiredError(message, claims=claims, hint="Get a token with these claims.")
        own = self.token.tenant_id
        # A token names its tenant by GUID, so a domain cannot be compared with it.
        if tenant_id is not None and own is not None and "." not in tenant_id and own.lower() != tenant_id.lower():
            message = f"A token of the tenant {tenant_id} is requested; the static token is of {own}."
            raise AuthenticationError(message, hint="Leave tenant_id out, or give a token of that tenant.")
        return self.token

    async def aclose(self) -> None:
        """Do nothing: the token is the provider's."""
