"""
A certificate with its private key, checked for signing client assertions.

It is checked before anything is sent, since the token service has much the same error for every flaw.

Source:
    https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, PSS
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from entra_async.certificates.abandon import run_abandonable
from entra_async.errors import ConfigurationError

__all__ = ("SigningCertificate", "belongs_to", "check", "check_public", "from_objects")

# Entra ID takes no shorter RSA key, and for a client assertion no other kind of key (RS256, PS256).
_MIN_KEY_BITS: Final = 2048


@dataclass(frozen=True, slots=True, repr=False)
class SigningCertificate:
    """
    A certificate, its private key and its chain.

    Attributes:
        private_key: The key. Two of these are equal when certificate and chain are.
        certificate: The leaf, whose public key that is.
        chain: Further certificates in the order they were found, without the leaf.
    """

    private_key: RSAPrivateKey = field(compare=False)
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def thumbprint(self) -> str:
        """The SHA-1 of the certificate in upper-case hex, as the portal and Windows show it."""
        return self.certificate.fingerprint(SHA1()).hex().upper()  # noqa: S303 -- names the certificate, secures nothing

    @property
    def subject(self) -> str:
        """The subject's distinguished name, such as ``CN=app,O=Contoso`` (RFC 4514)."""
        return self.certificate.subject.rfc4514_string()

    @property
    def not_after(self) -> datetime:
        """When the certificate expires, in UTC."""
        return self.certificate.not_valid_after_utc

    async def sign(self, digest: bytes) -> bytes:
        """Return the PS256 signature of a SHA-256 digest; see ``CertificateSigner``."""
        padding = PSS(MGF1(SHA256()), PSS.DIGEST_LENGTH)
        return await run_abandonable(lambda: self.private_key.sign(digest, padding, Prehashed(SHA256())))

    def __repr__(self) -> str:
        return (
            f"SigningCertificate(subject={self.subject!r}, thumbprint={self.thumbprint!r}, "
            f"not_after={self.not_after.isoformat()!r})"
        )


def from_objects(
    private_key: RSAPrivateKey, certificate: x509.Certificate, chain: Iterable[x509.Certificate] = (), *, now: datetime
) -> SigningCertificate:
    """
    Return a signing certificate made of objects of the ``cryptography`` library.

    Args:
        private_key: An RSA key.
        certificate: The certificate of that key.
        chain: Intermediate certificates, if they are to be sent along.
        now: Current time, with a time zone.

    Raises:
        ConfigurationError: If they do not fit each other or cannot be used, with ``field`` ``"private_key"`` or
            ``"certificate"``.
    """
    links = (certificate, *chain)
    for link in links:
        if not isinstance(link, x509.Certificate):
            message = f"A certificate is a {type(link).__name__}, not a cryptography.x509.Certificate."
            hint = "Load it with x509.load_pem_x509_certificate, or give the file as path= or data=."
            raise ConfigurationError(message, field="certificate", hint=hint)
    key = check(private_key, certificate, now=now, key_field="private_key", certificate_field="certificate")
    return SigningCertificate(key, certificate, tuple(link for link in links[1:] if link != certificate))


def belongs_to(private_key: PrivateKeyTypes, certificate: x509.Certificate) -> bool:
    """Return whether the certificate is one of this key."""
    try:
        return certificate.public_key() == private_key.public_key()
    except (UnsupportedAlgorithm, ValueError):
        return False


def check(
    private_key: object, certificate: x509.Certificate, *, now: datetime, key_field: str, certificate_field: str
) -> RSAPrivateKey:
    """
    Return the key if it and its certificate can be used to sign in.

    Args:
        private_key: The key, of any kind.
        certificate: What is meant to be its certificate.
        now: Current time, with a time zone.
        key_field: The parameter the key came from, for the error.
        certificate_field: The parameter the certificate came from, for the error.

    Raises:
        ConfigurationError: If the key is not an RSA key of 2048 bits or more, is not the certificate's, or the
            certificate is malformed, expired or not yet valid.
    """
    if not isinstance(private_key, RSAPrivateKey):
        message = f"The private key is not an RSA key but a {type(private_key).__name__}."
        hint = "Entra ID takes client assertions signed with RSA only: make an RSA key and a certificate for it."
        raise ConfigurationError(message, field=key_field, hint=hint)
    _check_size(private_key.key_size, field=key_field)
    if not belongs_to(private_key, certificate):
        message = "The private key does not belong to the certificate."
        hint = "Give the key that the certificate was made with, or the certificate of this key."
        raise ConfigurationError(message, field=key_field, hint=hint)
    _check_validity(certificate, now=now, field=certificate_field)
    return private_key


def check_public(certificate: x509.Certificate, *, now: datetime, field: str) -> None:
    """
    Check a certificate whose key is elsewhere.

    Args:
        certificate: The certificate.
        now: Current time, with a time zone.
        field: The parameter it came from, for the error.

    Raises:
        ConfigurationError: If it has no RSA key of 2048 bits or more, or is malformed, expired or not yet valid.
    """
    try:
        key = certificate.public_key()
    except (UnsupportedAlgorithm, ValueError) as error:
        message = "The certificate's key cannot be read."
        raise ConfigurationError(message, field=field, hint="Have the certificate issued anew.") from error
    if not isinstance(key, RSAPublicKey):
        message = f"The certificate's key is not an RSA key but a {type(key).__name__}."
        hint = "Entra ID takes client assertions signed with RSA only: make an RSA key and a certificate for it."
        raise ConfigurationError(message, field=field, hint=hint)
    _check_size(key.key_size, field=field)
    _check_validity(certificate, now=now, field=field)


def _check_size(bits: int, *, field: str) -> None:
    if bits < _MIN_KEY_BITS:
        message = f"The RSA key has {bits} bits."
        hint = f"Make a key of {_MIN_KEY_BITS} bits or more, and a certificate for it."
        raise ConfigurationError(message, field=field, hint=hint)


def _check_validity(certificate: x509.Certificate, *, now: datetime, field: str) -> None:
    start, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    try:
        subject = certificate.subject.rfc4514_string()
    except ValueError as error:
        message = "The certificate's subject cannot be read."
        raise ConfigurationError(message, field=field, hint="Have the certificate issued anew.") from error
    if now > end:
        message = f"The certificate {subject} expired on {end:%Y-%m-%d %H:%M} UTC."
        hint = "Make a new one and upload its public part to the app registration."
        raise ConfigurationError(message, field=field, hint=hint)
    if now < start:
        message = f"The certificate {subject} is not valid before {start:%Y-%m-%d %H:%M} UTC."
        hint = f"Check this machine's clock, which says {now:%Y-%m-%d %H:%M %Z}, or wait."
        raise ConfigurationError(message, field=field, hint=hint)
