"""The key Entra ID signs tokens with, and how it publishes it."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from entra_async.testing.crypto.keys import base64url, make_key_pair, thumbprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jwt.types import Options

__all__ = ("SigningKey",)


class SigningKey:
    """
    One RS256 key. Making it is slow: do it in a worker thread.

    Args:
        name: Whose key it is: another name is another key.
    """

    def __init__(self, name: str = "accounts.accesscontrol.emulator") -> None:
        self._pair = make_key_pair(name)
        # Entra ID uses the certificate's SHA-1 thumbprint as the key's id, too.
        self.key_id = thumbprint(self._pair.certificate, hashes.SHA1())  # noqa: S303 -- a name, not a safeguard

    def sign(self, claims: Mapping[str, Any]) -> str:
        """Return a JWT with these claims."""
        headers = {"kid": self.key_id, "x5t": self.key_id}
        return jwt.encode(dict(claims), self._pair.private_key, algorithm="RS256", headers=headers)

    def verify(self, token: str) -> dict[str, Any]:
        """
        Return the claims of a JWT signed with this key. Whether they are still valid is for the caller to judge.

        Raises:
            jwt.InvalidTokenError: If *token* is not a JWT, or not signed with this key.
        """
        unchecked: Options = {"verify_aud": False, "verify_exp": False, "verify_iat": False, "verify_nbf": False}
        claims: dict[str, Any] = jwt.decode(
            token, self._pair.private_key.public_key(), algorithms=["RS256"], options=unchecked
        )
        return claims

    def jwks(self, issuer: str) -> dict[str, Any]:
        """
        Return the JSON Web Key Set to publish.

        Args:
            issuer: Issuer of the tokens this key signs.

        Sources:
            RFC 7517: https://www.rfc-editor.org/rfc/rfc7517
        """
        numbers = self._pair.private_key.public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "kid": self.key_id,
            "x5t": self.key_id,
            "n": base64url(numbers.n.to_bytes((numbers.n.bit_length() + 7) // 8)),
            "e": base64url(numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8)),
            "x5c": [base64.b64encode(self._pair.certificate.public_bytes(Encoding.DER)).decode("ascii")],
            "issuer": issuer,
        }
        return {"keys": [key]}
