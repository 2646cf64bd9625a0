"""Load a certificate without its key: an object of the ``cryptography`` library, or PEM."""

from __future__ import annotations

from cryptography import x509

from entra_async.errors import ConfigurationError

__all__ = ("read_public",)


def read_public(given: object) -> list[x509.Certificate]:
    """
    Return the certificate, and after it the others that the PEM holds.

    Args:
        given: An object of the ``cryptography`` library; or PEM as text or bytes, the leaf first.

    Raises:
        ConfigurationError: If it is neither, or damaged.
    """
    if isinstance(given, x509.Certificate):
        return [given]
    hint = "Give a cryptography.x509.Certificate, or its PEM as str or bytes, or the whole file with path= or data=."
    if not isinstance(given, str | bytes | bytearray):
        message = f"certificate is a {type(given).__name__}."
        raise ConfigurationError(message, field="certificate", hint=hint)
    pem = given.encode() if isinstance(given, str) else bytes(given)
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError:
        # Its text may quote what it was given, and that may be a key by mistake.
        pass
    message = "certificate holds no certificate in PEM."
    raise ConfigurationError(message, field="certificate", hint=hint)
