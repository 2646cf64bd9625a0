"""
Certificate signers, wherever the private key is: in memory, in a key store, in a device that never exports it.

They sign a digest, so nothing else leaves the process, and an external key never enters it.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA256

from entra_async.certificates.abandon import run_abandonable
from entra_async.errors import AuthenticationError, ConfigurationError, EntraError

__all__ = ("CertificateSigner", "ExternalSigner", "signs_for")


class CertificateSigner(Protocol):
    """A certificate, and a way to sign with its key."""

    @property
    def certificate(self) -> x509.Certificate:
        """The certificate of the key."""
        ...

    @property
    def chain(self) -> tuple[x509.Certificate, ...]:
        """The certificates sent along with it, for subject-name-and-issuer trust."""
        ...

    async def sign(self, digest: bytes) -> bytes:
        """
        Return the signature of a SHA-256 digest.

        Args:
            digest: 32 bytes.

        Returns:
            RSASSA-PSS with SHA-256, MGF1 with SHA-256 and a salt of 32 bytes: ``PS256`` (RFC 7518, section 3.5).

        Raises:
            AuthenticationError: If the key cannot be reached or refuses to sign.
        """
        ...


@dataclass(frozen=True, slots=True)
class ExternalSigner:
    """
    A certificate whose key signs through a function of the caller's.

    Attributes:
        certificate: The certificate of the key.
        chain: Further certificates to send along.
        function: Takes the digest and returns the signature, or an awaitable of it. One that is not ``async`` is
            called in a thread.
    """

    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...]
    function: Callable[[bytes], bytes | Awaitable[bytes]] = field(repr=False)

    async def sign(self, digest: bytes) -> bytes:
        """Return the function's signature after verifying it; see :class:`CertificateSigner`."""
        try:
            signature = await self._call(digest)
        except EntraError:
            raise
        except Exception as error:
            # Whatever its text says stays out of ours; it is the cause.
            message = f"The signer failed with {type(error).__name__}."
            hint = "Its own error is the cause of this one."
            raise AuthenticationError(message, hint=hint, attempts=0) from error
        if not isinstance(signature, bytes | bytearray | memoryview):
            message = f"The signer returned a {type(signature).__name__} instead of bytes."
            raise ConfigurationError(message, field="signer", hint="Return the raw signature, not base64 or a result.")
        if not signs_for(self.certificate, bytes(signature), digest):
            message = "What the signer returned is no PS256 signature by the key of the certificate."
            hint = (
                "Sign the digest as it is, without hashing it again, with RSASSA-PSS, SHA-256 and a salt of 32 bytes, "
                "and give the certificate of that key."
            )
            raise ConfigurationError(message, field="signer", hint=hint)
        return bytes(signature)

    async def _call(self, digest: bytes) -> object:
        function = self.function
        if inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None)):  # noqa: B004 -- an object may have an async __call__
            result: object = function(digest)
        else:
            result = await run_abandonable(lambda: function(digest))
        return await result if inspect.isawaitable(result) else result


def signs_for(certificate: x509.Certificate, signature: bytes, digest: bytes) -> bool:
    """Return whether that is a PS256 signature of the digest by the certificate's key."""
    key = certificate.public_key()
    if not isinstance(key, RSAPublicKey):
        return False
    try:
        key.verify(signature, digest, PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH), Prehashed(SHA256()))
    except InvalidSignature:
        return False
    return True
