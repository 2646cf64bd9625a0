"""
Parse keys and certificates from PEM, in any order and with text around them.

Source:
    RFC 7468: https://www.rfc-editor.org/rfc/rfc7468 (``PRIVATE KEY``, ``ENCRYPTED PRIVATE KEY``, ``CERTIFICATE``)
    https://docs.openssl.org/3.0/man3/PEM_read_bio_PrivateKey/ (``RSA PRIVATE KEY`` and its encryption)
"""

from __future__ import annotations

import re
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from entra_async.certificates.source import CertificateBytes

__all__ = ("parse_pem",)

_BLOCK: Final = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)
_BLANK_LINES: Final = re.compile(rb"[ \t]*[\r\n]\s*")
_CERTIFICATE_LABELS: Final = frozenset({b"CERTIFICATE", b"X509 CERTIFICATE"})
_COPY_AGAIN: Final = "Copy it again; an environment variable, for one, easily loses the line breaks."


def parse_pem(
    content: bytes, password: bytes | None, source: CertificateBytes
) -> tuple[list[PrivateKeyTypes], list[x509.Certificate]]:
    """
    Return all private keys and all certificates, each in the order of the file.

    Raises:
        ConfigurationError: If a block is damaged, or the password is missing or wrong.
    """
    blocks = [(match[1], _tidy(match[0])) for match in _BLOCK.finditer(content)]
    if not blocks:
        raise source.error(problem="is cut off: its PEM has no line -----END …-----.", hint=_COPY_AGAIN)
    certificates = [_load_certificate(block, source) for label, block in blocks if label in _CERTIFICATE_LABELS]
    keys = [_load_key(block, password, source) for label, block in blocks if label.endswith(b"PRIVATE KEY")]
    return keys, certificates


def _tidy(block: bytes) -> bytes:
    # Line breaks that were doubled on the way; after the headers of the older format one is part of it.
    return block if b":" in block else _BLANK_LINES.sub(b"\n", block)


def _load_certificate(block: bytes, source: CertificateBytes) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(block)
    except ValueError as error:
        raise source.error(problem="holds a damaged certificate.", hint=_COPY_AGAIN) from error


def _load_key(block: bytes, password: bytes | None, source: CertificateBytes) -> PrivateKeyTypes:
    if block.startswith(b"-----BEGIN OPENSSH"):
        hint = "Convert it with: ssh-keygen -p -m PKCS8 -f KEYFILE"
        raise source.error(problem="holds a private key in a format of OpenSSH's own.", hint=hint)
    # The word stands in the label of PKCS#8 and in a header of the older format.
    encrypted = b"ENCRYPTED" in block
    if encrypted and not password:
        hint = "Give the password of the key as password=."
        raise source.error(
            problem="holds an encrypted private key, and no password is given.", hint=hint, field="password"
        )
    unsupported = False
    try:
        return load_pem_private_key(block, password if encrypted else None)
    except UnsupportedAlgorithm:
        unsupported = True
    except (TypeError, ValueError):
        pass
    # Raised out here, since what was caught may have seen the key.
    if unsupported:
        hint = "Convert it with: openssl pkcs8 -topk8 -v2 aes-256-cbc -in KEYFILE"
        raise source.error(problem="holds a private key of a kind or cipher that is not supported.", hint=hint)
    if encrypted:
        hint = "Correct password=; if it is right, the file is damaged or has a cipher that is not supported."
        raise source.error(problem="holds a private key that this password does not open.", hint=hint, field="password")
    raise source.error(problem="holds a damaged private key.", hint=_COPY_AGAIN)
