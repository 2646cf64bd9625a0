"""
The error codes of Windows' key stores, and what to do about them.

Source:
    https://learn.microsoft.com/en-us/windows/win32/com/com-error-codes-4 (security and setup)
"""

from __future__ import annotations

from typing import Final

__all__ = ("NTE_BAD_TYPE", "KeyStoreError", "explain")

NTE_BAD_TYPE: Final = 0x8009000A

_LEGACY: Final = (
    "The key is of the older CryptoAPI, or of a device without PSS: import it into CNG, with: certutil -csp "
    '"Microsoft Software Key Storage Provider" -importpfx FILE'
)
_RIGHTS: Final = (
    "Give the user that this process runs as the right to read the private key (certlm.msc, All Tasks, Manage Private "
    "Keys), and import keys with -PersistKeySet if that was a program."
)
_PROTECTED: Final = (
    "The key requires the user's confirmation; import it without strong protection, or sign with signer=."
)
_CARD: Final = "Check that the smart card is in its reader and not locked."
_GONE: Final = "The certificate was removed just now; the next attempt looks for another."

# Code: its name in Windows' headers, its meaning here, what to do.
_CODES: Final = {
    0x00000002: ("ERROR_FILE_NOT_FOUND", "it does not exist", _RIGHTS),
    0x00000005: ("ERROR_ACCESS_DENIED", "access was denied", _RIGHTS),
    0x80070005: ("E_ACCESSDENIED", "access was denied", _RIGHTS),
    0x80090010: ("NTE_PERM", "access was denied", _RIGHTS),
    0x8009000D: ("NTE_NO_KEY", "the key does not exist", _RIGHTS),
    0x80090011: ("NTE_NOT_FOUND", "the key does not exist", _RIGHTS),
    0x80090016: ("NTE_BAD_KEYSET", "the key does not exist, or this user may not read it", _RIGHTS),
    0x8009200B: ("CRYPT_E_NO_KEY_PROPERTY", "the certificate has no private key", _RIGHTS),
    NTE_BAD_TYPE: ("NTE_BAD_TYPE", "the key is not a CNG key", _LEGACY),
    0x80090009: ("NTE_BAD_FLAGS", "the key does not sign with PSS", _LEGACY),
    0x80090014: ("NTE_BAD_PROV_TYPE", "the key is not a CNG key", _LEGACY),
    0x80090027: ("NTE_INVALID_PARAMETER", "the key does not sign with PSS", _LEGACY),
    0x80090029: ("NTE_NOT_SUPPORTED", "the key does not sign with PSS", _LEGACY),
    0x80090022: ("NTE_SILENT_CONTEXT", "the key requires a dialog", _PROTECTED),
    0x8010000C: ("SCARD_E_NO_SMARTCARD", "there is no smart card", _CARD),
    0x80100069: ("SCARD_W_REMOVED_CARD", "the smart card was removed", _CARD),
    0x8010006B: ("SCARD_W_WRONG_CHV", "the smart card's PIN is wrong", _CARD),
    0x8010006C: ("SCARD_W_CHV_BLOCKED", "the smart card is locked", _CARD),
    0x80092004: ("CRYPT_E_NOT_FOUND", "it is not there", _GONE),
}


class KeyStoreError(Exception):
    """
    A function of Windows failed; callers get an error of this package instead.

    Attributes:
        code: The result of the function or of ``GetLastError``.
    """

    def __init__(self, code: int, *, function: str) -> None:
        # ctypes gives GetLastError as a signed number.
        self.code = code & 0xFFFFFFFF
        name, meaning, _ = _CODES.get(self.code, ("error", "Windows refused", ""))
        super().__init__(f"{meaning} ({function}, {name} 0x{self.code:08X})")


def explain(code: int) -> str:
    """Return what to do about an error code."""
    return _CODES[code][2] if code in _CODES else "Look the code up with: certutil -error CODE"
