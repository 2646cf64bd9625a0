"""
Parse key and certificates from a PFX file (PKCS#12), or recognise what the bytes are instead.

Source:
    RFC 7292, section 4 (the outermost SEQUENCE begins with version 3); appendix B.1 (passwords)
"""

from __future__ import annotations

import base64
import binascii
from contextlib import suppress

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_private_key
from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates, load_pkcs12

from entra_async.certificates.source import CertificateBytes
from entra_async.errors import ConfigurationError

__all__ = ("parse_pkcs12",)


def parse_pkcs12(
    content: bytes, password: bytes | None, source: CertificateBytes
) -> tuple[list[PrivateKeyTypes], list[x509.Certificate]]:
    """
    Return the private key, if there is one, and all certificates.

    Raises:
        ConfigurationError: If it is no PFX, or damaged, or the password is missing or wrong.
    """
    length = _declared_length(content)
    if length is None:
        raise _not_pkcs12(content, source)
    if length > len(content):
        hint = "Copy it again, as binary."
        raise source.error(problem=f"is cut off: it has {len(content)} bytes of {length}.", hint=hint)
    bundle = _open(content[:length], password)
    if bundle is None and password:
        hint = "Correct password=; if it is right, the file is damaged or has a cipher that is not supported."
        raise source.error(problem="is a PFX file that this password does not open.", hint=hint, field="password")
    if bundle is None:
        hint = "Give its password as password=; if it has none, the file is damaged."
        raise source.error(problem="is a PFX file with a password, and none is given.", hint=hint, field="password")
    certificates = [entry.certificate for entry in (bundle.cert, *bundle.additional_certs) if entry]
    return [bundle.key] if bundle.key else [], certificates


def _open(content: bytes, password: bytes | None) -> PKCS12KeyAndCertificates | None:
    # No password and an empty one are two ways to make a file, and a needless password is to do no harm.
    for candidate in dict.fromkeys((password, None, b"")):
        # TypeError: a password that is not UTF-8.
        with suppress(TypeError, UnsupportedAlgorithm, ValueError):
            return load_pkcs12(content, candidate)
    return None


def _declared_length(content: bytes) -> int | None:
    """Return how many bytes a PFX says it has, or ``None`` if this is none."""
    if len(content) < 2 or content[0] != 0x30:
        return None
    first, start = content[1], 2
    if first <= 0x80:
        # 0x80 opens BER of no declared length.
        length = len(content) if first == 0x80 else start + first
    else:
        start += first & 0x7F
        length = start + int.from_bytes(content[2:start], "big")
    return length if content[start : start + 3] == b"\x02\x01\x03" else None


def _not_pkcs12(content: bytes, source: CertificateBytes) -> ConfigurationError:
    if _is_certificate(content):
        hint = "Give the PFX or PEM file that also holds its private key; a .cer or .crt file never does."
        return source.error(problem="is a certificate without its private key.", hint=hint)
    if _is_private_key(content):
        hint = "Put key and certificate in one PFX file: openssl pkcs12 -export -inkey KEY -in CERTIFICATE -out PFX"
        return source.error(problem="is a private key without its certificate.", hint=hint)
    if _is_base64(content):
        return source.error(problem="is base64 text.", hint="Decode it first, with base64.b64decode().")
    return source.error(
        problem="is neither PEM nor PFX.", hint="Give a PFX or PEM file with certificate and private key."
    )


def _is_certificate(content: bytes) -> bool:
    try:
        x509.load_der_x509_certificate(content)
    except ValueError:
        return False
    return True


def _is_private_key(content: bytes) -> bool:
    try:
        load_der_private_key(content, None)
    except (UnsupportedAlgorithm, ValueError):
        return False
    except TypeError:  # it is encrypted
        return True
    return True


def _is_base64(content: bytes) -> bool:
    try:
        return base64.b64decode(b"".join(content.split()), validate=True).startswith(b"\x30")
    except binascii.Error:
        return False
