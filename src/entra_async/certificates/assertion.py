"""
Client assertions: JWTs signed with a certificate's key, by which an application authenticates.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
    RFC 7515 (JWS), RFC 7518, section 3.5 (PS256), RFC 7523, section 3
"""

from __future__ import annotations

import base64
import hashlib
import uuid
from typing import Any, Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from entra_async.certificates.signer import CertificateSigner

__all__ = ("sign_assertion",)

_LIFETIME_S: Final = 600


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


async def sign_assertion(
    signer: CertificateSigner, *, client_id: str, audience: str, now: float, send_x5c: bool
) -> str:
    """
    Return a client assertion: a JWT signed with PS256 that names the certificate by its SHA-256 thumbprint.

    Args:
        signer: The certificate, whose key signs.
        client_id: The application, issuer and subject of the assertion.
        audience: The token endpoint.
        now: Seconds since the epoch. The assertion is valid for ten minutes.
        send_x5c: Whether to send the certificate and its chain along, as subject-name-and-issuer trust needs.

    Raises:
        AuthenticationError: If the key cannot be reached or refuses to sign.
        ConfigurationError: If what an external signer returns is no such signature.
    """
    leaf = signer.certificate.public_bytes(Encoding.DER)
    header: dict[str, Any] = {"typ": "JWT", "alg": "PS256", "x5t#S256": _encode(hashlib.sha256(leaf).digest())}
    if send_x5c:
        chain = (leaf, *(link.public_bytes(Encoding.DER) for link in signer.chain))
        header["x5c"] = [base64.b64encode(link).decode() for link in chain]
    claims = {
        "aud": audience,
        "iss": client_id,
        "sub": client_id,
        "jti": str(uuid.uuid4()),
        "nbf": int(now),
        "iat": int(now),
        "exp": int(now) + _LIFETIME_S,
    }
    signed = f"{_encode(msgspec.json.encode(header))}.{_encode(msgspec.json.encode(claims))}"
    signature = await signer.sign(hashlib.sha256(signed.encode()).digest())
    return f"{signed}.{_encode(signature)}"
