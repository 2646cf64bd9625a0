"""Keys and certificates to test with."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from entra_async.testing import Emulator

NOW = datetime.now(UTC).replace(microsecond=0)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pair:
    """A key and its certificate."""

    key: rsa.RSAPrivateKey
    certificate: x509.Certificate

    @property
    def thumbprint(self) -> str:
        return self.certificate.fingerprint(hashes.SHA1()).hex().upper()

    @property
    def public(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def pem(self) -> bytes:
        return self.public + self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    def pfx(self, password: str | None = None) -> bytes:
        cipher = BestAvailableEncryption(password.encode()) if password else NoEncryption()
        return pkcs12.serialize_key_and_certificates(None, self.key, self.certificate, None, cipher)


@functools.cache
def rsa_key(number: int = 0) -> rsa.RSAPrivateKey:
    """Return the key of that number, always the same: making one takes a while."""
    return rsa.generate_private_key(65537, 2048)


def make(
    name: str = "CN=app", *, key: int = 0, start: datetime = NOW - 60 * DAY, end: datetime = NOW + 30 * DAY
) -> Pair:
    """Return a self-signed certificate of that name, written as in RFC 4514."""
    private = rsa_key(key)
    subject = x509.Name.from_rfc4514_string(name)
    builder = x509.CertificateBuilder(subject, subject, private.public_key(), x509.random_serial_number())
    return Pair(private, builder.not_valid_before(start).not_valid_after(end).sign(private, hashes.SHA256()))


def app_of(emulator: Emulator, *pairs: Pair) -> dict[str, Any]:
    """Register an app that signs in with any of these, and return its ids."""
    app = emulator.register_app(certificate_pem=b"".join(pair.public for pair in pairs))
    return {"client_id": app.client_id, "tenant_id": emulator.tenant_id}
