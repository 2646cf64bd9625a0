"""The certificate stores of this operating system."""

from __future__ import annotations

import platform
from collections.abc import Sequence

from entra_async.certificates.stores.find import CertificateStore
from entra_async.errors import CredentialUnavailableError

__all__ = ("system_stores",)


def system_stores() -> Sequence[CertificateStore]:
    r"""
    Return the stores in search order: the user's ``My``, then the machine's where there is one.

    Raises:
        CredentialUnavailableError: If the system has none that can be read.
    """
    system = platform.system()
    if system == "Windows":
        from entra_async.certificates.stores.windows_dll import CryptoApi
        from entra_async.certificates.stores.windows_store import StoreLocation, WindowsStore

        api = CryptoApi.load()
        return [WindowsStore(api, location) for location in StoreLocation]
    if system == "Linux":
        from entra_async.certificates.stores.dotnet_store import DotnetStore

        return [DotnetStore()]
    what = "The macOS keychain" if system == "Darwin" else f"A certificate store of {system or 'this system'}"
    message = f"{what} cannot be read yet."
    hint = "Export the certificate with its key as a PFX file, and give that with path=, or its folder with folder=."
    raise CredentialUnavailableError(message, hint=hint, attempts=0)
