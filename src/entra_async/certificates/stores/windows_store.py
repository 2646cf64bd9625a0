r"""
The certificate stores of Windows: ``CurrentUser\My`` and ``LocalMachine\My``. Blocking.

Keys never leave their store. They sign a digest there, so those that cannot be exported, and those of a TPM or a smart
card, work as well. Nothing stays open between two calls, and nothing needs user interaction: a key that would show a
dialog is refused by Windows instead.

Sources:
    https://learn.microsoft.com/en-us/windows/win32/api/wincrypt/nf-wincrypt-cryptacquirecertificateprivatekey
    https://learn.microsoft.com/en-us/windows/win32/api/ncrypt/nf-ncrypt-ncryptsignhash
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from entra_async.certificates.abandon import run_abandonable
from entra_async.certificates.signer import CertificateSigner, signs_for
from entra_async.certificates.signing import check_public
from entra_async.certificates.stores.find import Candidate, CertificateQuery, StoreListing
from entra_async.certificates.stores.windows_dll import CryptoApi, HashBlob, PssPaddingInfo
from entra_async.certificates.stores.windows_errors import NTE_BAD_TYPE, KeyStoreError, explain
from entra_async.errors import AuthenticationError

__all__ = ("StoreLocation", "WindowsStore")

_CERT_STORE_PROV_SYSTEM_W: Final = 10
_CERT_STORE_READONLY_FLAG: Final = 0x00008000
_CERT_STORE_OPEN_EXISTING_FLAG: Final = 0x00004000
_ENCODING: Final = 0x00010001  # X509_ASN_ENCODING | PKCS_7_ASN_ENCODING
_CERT_FIND_SHA1_HASH: Final = 0x00010000
_CERT_KEY_PROV_INFO_PROP_ID: Final = 2
_CRYPT_ACQUIRE_SILENT_FLAG: Final = 0x00000040
_CRYPT_ACQUIRE_ONLY_NCRYPT_KEY_FLAG: Final = 0x00040000
_CERT_NCRYPT_KEY_SPEC: Final = 0xFFFFFFFF
_BCRYPT_PAD_PSS: Final = 0x00000008
_NCRYPT_SILENT_FLAG: Final = 0x00000040
_SALT_BYTES: Final = 32


class StoreLocation(Enum):
    """Whose certificates: in the order in which they are searched. The value is the flag that opens them."""

    CurrentUser = 0x00010000
    LocalMachine = 0x00020000


class WindowsStore:
    """
    The store ``My`` of the user or of the machine.

    Args:
        api: The functions of Windows.
        location: Whose.
    """

    def __init__(self, api: CryptoApi, location: StoreLocation) -> None:
        self._api = api
        self._location = location

    @property
    def name(self) -> str:
        """Its name in PowerShell."""
        return rf"{self._location.name}\My"

    def search(self, query: CertificateQuery) -> StoreListing:
        """Return all certificates, or the one of a thumbprint. A store that cannot be opened is a problem."""
        api = self._api
        try:
            with _open_store(api, self._location) as store:
                contexts = (
                    _iterate(api, store) if query.thumbprint is None else _iterate_match(api, store, query.thumbprint)
                )
                with closing(contexts):
                    entries = [(_read(context), _has_key(api, context)) for context in contexts]
        except KeyStoreError as failure:
            return StoreListing(problems=[f"{self.name}: {failure}"])
        candidates = []
        problems = []
        for encoded, has_key in entries:
            try:
                certificate = x509.load_der_x509_certificate(encoded)
            except ValueError:
                problems.append(f"a certificate in {self.name} is malformed")
                continue
            candidates.append(Candidate(certificate, self._opener(certificate, query) if has_key else None))
        return StoreListing(candidates, problems)

    def _opener(
        self, certificate: x509.Certificate, query: CertificateQuery
    ) -> Callable[[datetime], CertificateSigner]:
        def open_at(now: datetime) -> CertificateSigner:
            check_public(certificate, now=now, field=query.field)
            return WindowsCertificate(self._api, self._location, certificate)

        return open_at


@dataclass(frozen=True, slots=True)
class WindowsCertificate:
    """
    A certificate whose key Windows keeps.

    Attributes:
        api: The functions of Windows.
        location: Whose store it is in.
        certificate: The certificate.
        chain: Empty: Windows keeps the issuers in other stores, and Entra ID knows those it trusts.
    """

    api: CryptoApi = field(repr=False)
    location: StoreLocation
    certificate: x509.Certificate
    chain: tuple[x509.Certificate, ...] = ()

    async def sign(self, digest: bytes) -> bytes:
        """Return the PS256 signature of a SHA-256 digest; see ``CertificateSigner``."""
        return await run_abandonable(lambda: self._sign(digest))

    def _sign(self, digest: bytes) -> bytes:
        thumbprint = self.certificate.fingerprint(SHA1()).hex().upper()  # noqa: S303 -- names it, secures nothing
        try:
            with (
                _open_store(self.api, self.location) as store,
                _find(self.api, store, thumbprint) as context,
                _acquire_key(self.api, context) as key,
            ):
                signature = _sign_hash(self.api, key, digest)
        except KeyStoreError as failure:
            message = rf"The key of {thumbprint} in {self.location.name}\My cannot sign: {failure}."
            raise AuthenticationError(message, hint=explain(failure.code), attempts=0) from None
        if not signs_for(self.certificate, signature, digest):
            message = (
                rf"What Windows signed for {thumbprint} in {self.location.name}\My is not by its certificate's key."
            )
            hint = "Import the certificate again with its key: the key that Windows has for it is another one."
            raise AuthenticationError(message, hint=hint, attempts=0)
        return signature


@contextmanager
def _open_store(api: CryptoApi, location: StoreLocation) -> Iterator[int]:
    flags = location.value | _CERT_STORE_READONLY_FLAG | _CERT_STORE_OPEN_EXISTING_FLAG
    store = api.CertOpenStore(_CERT_STORE_PROV_SYSTEM_W, 0, 0, flags, "MY")
    if not store:
        raise KeyStoreError(api.last_error(), function="CertOpenStore")
    try:
        yield store
    finally:
        api.CertCloseStore(store, 0)


def _iterate(api: CryptoApi, store: int) -> Generator[Any]:
    # Each call frees the context it is given, also the last one, which returns none.
    context = api.CertEnumCertificatesInStore(store, None)
    try:
        while context:
            yield context
            previous, context = context, None
            context = api.CertEnumCertificatesInStore(store, previous)
    finally:
        if context:
            api.CertFreeCertificateContext(context)


def _iterate_match(api: CryptoApi, store: int, thumbprint: str) -> Generator[Any]:
    context = _look_up(api, store, thumbprint)
    try:
        if context:
            yield context
    finally:
        if context:
            api.CertFreeCertificateContext(context)


@contextmanager
def _find(api: CryptoApi, store: int, thumbprint: str) -> Iterator[Any]:
    context = _look_up(api, store, thumbprint)
    if not context:
        raise KeyStoreError(api.last_error(), function="CertFindCertificateInStore")
    try:
        yield context
    finally:
        api.CertFreeCertificateContext(context)


def _look_up(api: CryptoApi, store: int, thumbprint: str) -> Any:
    digest = bytes.fromhex(thumbprint)
    blob = HashBlob(len(digest), digest)
    return api.CertFindCertificateInStore(store, _ENCODING, 0, _CERT_FIND_SHA1_HASH, ctypes.byref(blob), None)


def _read(context: Any) -> bytes:
    return ctypes.string_at(context.contents.pbCertEncoded, context.contents.cbCertEncoded)


def _has_key(api: CryptoApi, context: Any) -> bool:
    size = ctypes.c_uint32()
    return bool(api.CertGetCertificateContextProperty(context, _CERT_KEY_PROV_INFO_PROP_ID, None, ctypes.byref(size)))


@contextmanager
def _acquire_key(api: CryptoApi, context: Any) -> Iterator[int]:
    key, spec, must_free = ctypes.c_size_t(), ctypes.c_uint32(), ctypes.c_int32()
    flags = _CRYPT_ACQUIRE_ONLY_NCRYPT_KEY_FLAG | _CRYPT_ACQUIRE_SILENT_FLAG
    acquired = api.CryptAcquireCertificatePrivateKey(
        context, flags, None, ctypes.byref(key), ctypes.byref(spec), ctypes.byref(must_free)
    )
    if not acquired:
        raise KeyStoreError(api.last_error(), function="CryptAcquireCertificatePrivateKey")
    is_cng = spec.value == _CERT_NCRYPT_KEY_SPEC
    try:
        if not is_cng:
            # Older keys sign without PSS, which the assertion promises.
            raise KeyStoreError(NTE_BAD_TYPE, function="CryptAcquireCertificatePrivateKey")
        yield key.value
    finally:
        if must_free.value and is_cng:
            api.NCryptFreeObject(key.value)
        elif must_free.value:
            api.CryptReleaseContext(key.value, 0)


def _sign_hash(api: CryptoApi, key: int, digest: bytes) -> bytes:
    padding = PssPaddingInfo("SHA256", _SALT_BYTES)
    size = ctypes.c_uint32()
    flags = _BCRYPT_PAD_PSS | _NCRYPT_SILENT_FLAG
    # Called without a buffer, it returns the length of a signature.
    status = api.NCryptSignHash(key, ctypes.byref(padding), digest, len(digest), None, 0, ctypes.byref(size), flags)
    if status:
        raise KeyStoreError(status, function="NCryptSignHash")
    buffer = ctypes.create_string_buffer(size.value)
    status = api.NCryptSignHash(
        key, ctypes.byref(padding), digest, len(digest), buffer, size.value, ctypes.byref(size), flags
    )
    if status:
        raise KeyStoreError(status, function="NCryptSignHash")
    return buffer.raw[: size.value]
