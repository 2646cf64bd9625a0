"""
The functions of Windows that read a certificate store and sign with its keys, declared for ctypes; no logic.

Sizes are those of Windows on every machine: ``DWORD`` and ``BOOL`` have 32 bits, handles and pointers are of the
machine's width. So the declarations can be tried where there is no Windows.

Sources:
    https://learn.microsoft.com/en-us/windows/win32/api/wincrypt/
    https://learn.microsoft.com/en-us/windows/win32/api/ncrypt/nf-ncrypt-ncryptsignhash
    https://learn.microsoft.com/en-us/windows/win32/api/bcrypt/ns-bcrypt-bcrypt_pss_padding_info
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import POINTER, Structure, c_char_p, c_int32, c_size_t, c_ubyte, c_uint32, c_void_p, c_wchar_p
from typing import Any, Final

__all__ = ("CertContext", "CryptoApi", "HashBlob", "PssPaddingInfo")

_BOOL: Final = c_int32
_DWORD: Final = c_uint32
_HANDLE: Final = c_size_t  # HCRYPTPROV_OR_NCRYPT_KEY_HANDLE is a ULONG_PTR
_LOAD_LIBRARY_SEARCH_SYSTEM32: Final = 0x00000800


class CertContext(Structure):
    """``CERT_CONTEXT``: a certificate of a store."""

    _fields_ = (
        ("dwCertEncodingType", _DWORD),
        ("pbCertEncoded", POINTER(c_ubyte)),
        ("cbCertEncoded", _DWORD),
        ("pCertInfo", c_void_p),
        ("hCertStore", c_void_p),
    )


class HashBlob(Structure):
    """``CRYPT_HASH_BLOB``: a thumbprint to find."""

    _fields_ = (("cbData", _DWORD), ("pbData", c_char_p))


class PssPaddingInfo(Structure):
    """``BCRYPT_PSS_PADDING_INFO``: the hash and the length of the salt."""

    _fields_ = (("pszAlgId", c_wchar_p), ("cbSalt", _DWORD))


class CryptoApi:
    """
    The functions by their own names, and the last one's error.

    Args:
        crypt32: The DLL of the stores.
        ncrypt: The DLL of CNG keys.
        advapi32: The DLL of the older keys.
        last_error: Returns ``GetLastError`` of this thread.
    """

    def __init__(self, crypt32: Any, ncrypt: Any, advapi32: Any, last_error: Callable[[], int]) -> None:
        context = POINTER(CertContext)
        self.CertOpenStore = _declare(crypt32, "CertOpenStore", c_void_p, c_void_p, _DWORD, _HANDLE, _DWORD, c_wchar_p)
        self.CertCloseStore = _declare(crypt32, "CertCloseStore", _BOOL, c_void_p, _DWORD)
        self.CertEnumCertificatesInStore = _declare(crypt32, "CertEnumCertificatesInStore", context, c_void_p, context)
        self.CertFindCertificateInStore = _declare(
            crypt32, "CertFindCertificateInStore", context, c_void_p, _DWORD, _DWORD, _DWORD, c_void_p, context
        )
        self.CertGetCertificateContextProperty = _declare(
            crypt32, "CertGetCertificateContextProperty", _BOOL, context, _DWORD, c_void_p, POINTER(_DWORD)
        )
        self.CertFreeCertificateContext = _declare(crypt32, "CertFreeCertificateContext", _BOOL, context)
        self.CryptAcquireCertificatePrivateKey = _declare(
            crypt32,
            "CryptAcquireCertificatePrivateKey",
            *(_BOOL, context, _DWORD, c_void_p, POINTER(_HANDLE), POINTER(_DWORD), POINTER(_BOOL)),
        )
        self.NCryptSignHash = _declare(
            ncrypt,
            "NCryptSignHash",
            *(_DWORD, _HANDLE, c_void_p, c_char_p, _DWORD, c_void_p, _DWORD, POINTER(_DWORD), _DWORD),
        )
        self.NCryptFreeObject = _declare(ncrypt, "NCryptFreeObject", _DWORD, _HANDLE)
        self.CryptReleaseContext = _declare(advapi32, "CryptReleaseContext", _BOOL, _HANDLE, _DWORD)
        self.last_error = last_error

    @classmethod
    def load(cls) -> CryptoApi:
        """Return the functions of this Windows."""
        load = getattr(ctypes, "WinDLL")  # noqa: B009 -- type checkers elsewhere than on Windows do not know it
        get_last_error = getattr(ctypes, "get_last_error")  # noqa: B009 -- the same

        def load_dll(name: str) -> Any:
            # Only from the system's folder: a DLL planted beside the program would see what is signed.
            return load(name, use_last_error=True, winmode=_LOAD_LIBRARY_SEARCH_SYSTEM32)

        return cls(load_dll("crypt32.dll"), load_dll("ncrypt.dll"), load_dll("advapi32.dll"), get_last_error)


def _declare(dll: Any, name: str, returns: Any, *arguments: Any) -> Any:
    function = getattr(dll, name)
    function.restype = returns
    function.argtypes = arguments
    return function
