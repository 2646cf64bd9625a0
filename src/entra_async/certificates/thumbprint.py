"""
Parse the thumbprint of a certificate, as copied from the portal, PowerShell or a dialog of Windows.

Source:
    https://learn.microsoft.com/en-us/troubleshoot/windows-server/certificates-and-public-key-infrastructure-pki/invisible-unicode-character-certificate-thumbprint
"""

from __future__ import annotations

import re
from typing import Final

from entra_async.errors import ConfigurationError

__all__ = ("parse_thumbprint",)

# The certificate dialog of Windows puts an invisible left-to-right mark before what is copied from it.
_IGNORED: Final = re.compile(r"[\s:\u200b-\u200f\u202a-\u202e\ufeff]+")
_SHA1: Final = re.compile(r"[0-9A-F]{40}")
_SHA256: Final = re.compile(r"[0-9A-F]{64}")


def parse_thumbprint(text: object) -> str:
    """
    Return the SHA-1 thumbprint in *text* as 40 upper-case hex digits; blanks, colons and invisible marks are ignored.

    Raises:
        ConfigurationError: If it is none.
    """
    digits = _IGNORED.sub("", text).upper() if isinstance(text, str) else ""
    if _SHA1.fullmatch(digits):
        return digits
    message = f"thumbprint is {text!r}, which is not the 40 hex digits of a SHA-1 thumbprint."
    hint = "Copy the thumbprint that the portal shows, or that PowerShell shows with: dir Cert:\\CurrentUser\\My"
    if _SHA256.fullmatch(digits):
        hint = "This is a SHA-256 thumbprint. Stores know certificates by their SHA-1 thumbprint: give that."
    raise ConfigurationError(message, field="thumbprint", hint=hint)
