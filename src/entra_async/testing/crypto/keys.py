"""RSA keys with self-signed certificates: the one that signs tokens, and the one an app signs in with."""

from __future__ import annotations

import base64
import datetime as dt
from dataclasses import dataclass
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import PrivateFormat, pkcs12
from cryptography.x509.oid import NameOID

__all__ = ("KeyPair", "base64url", "make_key_pair", "thumbprint")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """A private key and the certificate of its public half."""

    private_key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    def pfx(self, password: str) -> bytes:
        """Return both as an encrypted PKCS#12 file."""
        # A key that lives for one block needs no slow derivation, which each emulator and each sign-in would pay for.
        encryption = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(2000).build(password.encode())
        return pkcs12.serialize_key_and_certificates(b"emulator", self.private_key, self.certificate, None, encryption)


@cache  # once per process and name: a test run starts many emulators, and RSA keys are slow to make
def make_key_pair(name: str) -> KeyPair:
    """
    Return an RSA 2048 key with a certificate valid for one year. Slow: call it in a worker thread.

    Args:
        name: Common name of the certificate.
    """
    private_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    yesterday = dt.datetime.now(dt.UTC) - dt.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private_key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(yesterday)
        .not_valid_after(yesterday + dt.timedelta(days=365))
        .sign(private_key, hashes.SHA256())
    )
    return KeyPair(private_key, certificate)


def base64url(data: bytes) -> str:
    """Return *data* in base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def thumbprint(certificate: x509.Certificate, algorithm: hashes.HashAlgorithm) -> str:
    """Return the thumbprint of *certificate* as ``x5t`` and ``x5t#S256`` write it (RFC 7515, section 4.1.7)."""
    return base64url(certificate.fingerprint(algorithm))
