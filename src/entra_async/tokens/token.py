"""An access token whose repr and items hide the secret."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, Self, SupportsIndex, overload

import msgspec
from azure.core.credentials import AccessToken

__all__ = ("Token",)

_NONE: Final[Mapping[str, Any]] = MappingProxyType({})
_MASK: Final = "***"


def _read_claims(token: str) -> Mapping[str, Any]:
    parts = token.split(".")
    if len(parts) != 3:  # header, payload, signature: RFC 7519, section 3
        return _NONE
    try:
        payload = base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4))
        claims = msgspec.json.decode(payload)
    except (binascii.Error, ValueError, msgspec.DecodeError):
        return _NONE
    return MappingProxyType(claims) if isinstance(claims, dict) else _NONE


class _Secret:
    """A secret text, hidden from whatever walks through attributes."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return _MASK


class Token(AccessToken):
    """
    An access token: azure-core's ``AccessToken``, with what its ``AccessTokenInfo`` has beside that.

    It is the class itself and not its shape, since msgraph-sdk takes nothing else for a token. So it is a tuple, which
    JSON encoders and loggers write out item by item: what they find in it is ``"***"``.

    Its claims are read for display and for checks; they are not verified, which only the service the token is
    issued for can do. For services that are not one's own Microsoft promises nothing about them, so each may be
    ``None``.

    Attributes:
        token: The secret itself. Only this attribute shows it, and ``[0]``, which programs for ODBC are used to.
            Unpacking, slices and ``_asdict()`` do not.
        expires_on: Seconds since the epoch after which it is worthless.
        refresh_on: Seconds since the epoch after which a new one should be requested, or ``None``.
        token_type: ``"Bearer"``.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
    """

    refresh_on: int | None
    token_type: str
    _secret: _Secret

    def __new__(cls, token: str, expires_on: int, refresh_on: int | None = None, token_type: str = "Bearer") -> Self:
        """Make a token."""
        # Encoders written in C read the tuple itself, whatever methods there are.
        self = super().__new__(cls, _MASK, expires_on)
        self._secret = _Secret(token)
        self.refresh_on = refresh_on
        self.token_type = token_type
        return self

    @property
    def token(self) -> str:
        """The secret itself."""
        return self._secret.text

    @property
    def claims(self) -> Mapping[str, Any]:
        """The claims of the token, unverified; empty if it is opaque."""
        return _read_claims(self.token)

    @property
    def tenant_id(self) -> str | None:
        """The tenant that issued it (``tid``)."""
        return self.claims.get("tid")

    @property
    def client_id(self) -> str | None:
        """The application it was issued to (``appid`` or ``azp``)."""
        claims = self.claims
        return claims.get("appid") or claims.get("azp")

    @property
    def audience(self) -> str | None:
        """The service it is issued for (``aud``)."""
        return self.claims.get("aud")

    @property
    def scopes(self) -> tuple[str, ...]:
        """Its permissions: the application's ``roles`` and the delegated ``scp``; empty if it has no such claim."""
        claims = self.claims
        roles, scp = claims.get("roles"), claims.get("scp")
        app_roles = [str(role) for role in roles] if isinstance(roles, list) else []
        return (*app_roles, *(scp.split() if isinstance(scp, str) else ()))

    def __repr__(self) -> str:
        return f"Token(audience={self.audience!r}, client_id={self.client_id!r}, expires_on={self.expires_on})"

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Any, ...]: ...

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        return self.token if index == 0 else super().__getitem__(index)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AccessToken):
            return NotImplemented
        return (self.token, self.expires_on) == (other.token, other.expires_on)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.token, self.expires_on))

    def __reduce__(self) -> NoReturn:
        message = "A token is not pickled, since it is a secret; pickle the provider and sign in again."
        raise TypeError(message)
