"""
Load a certificate with its private key from a PFX or PEM file, or its bytes. Blocking: run it in a worker thread.

No error shows a password or key. Errors of the library that may have seen one are neither cause nor context.
"""

from __future__ import annotations

import codecs
import os
from collections.abc import Sequence
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from entra_async.certificates.pem import parse_pem
from entra_async.certificates.pkcs12 import parse_pkcs12
from entra_async.certificates.signing import SigningCertificate, belongs_to, check
from entra_async.certificates.source import CertificateBytes, read_source
from entra_async.errors import ConfigurationError

__all__ = ("CertificateFile", "load_certificate")


def load_certificate(
    *,
    path: str | os.PathLike[str] | None = None,
    data: bytes | None = None,
    password: str | bytes | None = None,
    now: datetime,
) -> SigningCertificate:
    """
    Read a certificate and its private key from a file or from bytes. Blocks while it reads and decrypts.

    The certificate of the key is the leaf; of several, the one that is valid and lasts longest. Certificates that are
    not the key's are the chain.

    Args:
        path: A PFX (PKCS#12) or PEM file. Exactly one of *path* and *data* is given.
        data: The bytes of such a file.
        password: Opens the file or its key. It may be given although nothing is encrypted.
        now: Current time, with a time zone.

    Returns:
        The certificate, its key and its chain, checked for use at *now*.

    Raises:
        ConfigurationError: If there is no usable certificate. ``field`` is ``"password"``, or else ``"path"`` or
            ``"data"``, whichever was given.
    """
    return CertificateFile(path=path, data=data, password=password).load(now=now)


class CertificateFile:
    """
    A file that is read anew each time, so that a renewed certificate is taken up, and decrypted only when it changed.

    Decrypting holds up every thread for tens of milliseconds, since the library keeps Python's lock meanwhile.

    Args:
        path: See :func:`load_certificate`.
        data: See :func:`load_certificate`.
        password: See :func:`load_certificate`.
    """

    def __init__(
        self,
        *,
        path: str | os.PathLike[str] | None = None,
        data: bytes | None = None,
        password: str | bytes | None = None,
    ) -> None:
        self._path = path
        self._data = data
        self._password = password
        self._last: tuple[bytes, list[PrivateKeyTypes], list[x509.Certificate]] | None = None

    def load(self, *, now: datetime) -> SigningCertificate:
        """Return what it holds now, checked for use at *now*; see :func:`load_certificate`."""
        source, keys, certificates = self._read()
        return _assemble(keys, certificates, now=now, source=source)

    def entries(self) -> list[tuple[x509.Certificate, PrivateKeyTypes | None, tuple[x509.Certificate, ...]]]:
        """
        Return each certificate it holds now, its key if that is there, and the certificates that are not that key's.

        Raises:
            ConfigurationError: If it cannot be read or opened.
        """
        _, keys, certificates = self._read()
        listed = []
        for certificate in dict.fromkeys(certificates):
            key = next((key for key in keys if belongs_to(key, certificate)), None)
            chain = () if key is None else _chain_of(key, certificates)
            listed.append((certificate, key, chain))
        return listed

    def _read(self) -> tuple[CertificateBytes, Sequence[PrivateKeyTypes], Sequence[x509.Certificate]]:
        source, content = read_source(self._path, self._data)
        last = self._last
        if last is None or last[0] != content:
            last = self._last = (content, *_parse(content, _encode_password(self._password), source))
        return source, last[1], last[2]


def _parse(
    content: bytes, secret: bytes | None, source: CertificateBytes
) -> tuple[list[PrivateKeyTypes], list[x509.Certificate]]:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        # Windows PowerShell writes text as UTF-16.
        content = content.decode("utf-16", "replace").encode()
    parse = parse_pem if b"-----BEGIN" in content else parse_pkcs12
    return parse(content, secret, source)


def _encode_password(password: object) -> bytes | None:
    if password is None or isinstance(password, bytes):
        return password
    if isinstance(password, str):
        try:
            # Bytes of an environment variable that are no UTF-8 come as surrogates; so they go back.
            return password.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError:
            pass  # its message would quote the password
    message = "password is no text that can be encoded."
    raise ConfigurationError(message, field="password", hint="Give it as str or bytes.")


def _assemble(
    keys: Sequence[PrivateKeyTypes],
    certificates: Sequence[x509.Certificate],
    *,
    now: datetime,
    source: CertificateBytes,
) -> SigningCertificate:
    if not keys:
        hint = "Export the certificate together with its private key; a key marked as not exportable cannot be."
        raise source.error(problem="holds no private key.", hint=hint)
    if not certificates:
        hint = "Add the certificate of the key: in PEM, one file may hold both, one after the other."
        raise source.error(problem="holds no certificate.", hint=hint)
    # Without a pair, what is wrong with the first of each is the error.
    pairs = [(key, link) for key in keys for link in certificates if belongs_to(key, link)]
    private_key, leaf = max(
        pairs or [(keys[0], certificates[0])],
        key=lambda pair: (pair[1].not_valid_before_utc <= now, pair[1].not_valid_after_utc),
    )
    key = check(private_key, leaf, now=now, key_field=source.field, certificate_field=source.field)
    return SigningCertificate(key, leaf, _chain_of(key, certificates))


def _chain_of(key: PrivateKeyTypes, certificates: Sequence[x509.Certificate]) -> tuple[x509.Certificate, ...]:
    return tuple(link for link in dict.fromkeys(certificates) if not belongs_to(key, link))
