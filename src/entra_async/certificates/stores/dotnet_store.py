r"""
The certificate store of PowerShell and .NET on Linux, ``Cert:\CurrentUser\My``. Blocking.

They are PFX files without a password, ``{thumbprint}.pfx`` or ``{thumbprint}.1.pfx`` to ``.9.pfx``, in a folder of the
user's. Every ``.pfx`` file there counts, whatever its name, and one that cannot be read is passed over. There is no
``LocalMachine\My``: .NET refuses to open it on Linux.

Sources:
    https://learn.microsoft.com/en-us/dotnet/standard/security/cross-platform-cryptography#x509store
    https://github.com/dotnet/runtime (OpenSslDirectoryBasedStoreProvider.cs, PersistedFiles.Unix.cs)
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from entra_async.certificates.stores.find import CertificateQuery, StoreListing
from entra_async.certificates.stores.folder import FolderStore
from entra_async.errors import ConfigurationError

__all__ = ("DotnetStore",)

_BELOW_HOME: Final = Path(".dotnet", "corefx", "cryptography", "x509stores", "my")


class DotnetStore:
    """The folder of the user that this process runs as."""

    def __init__(self) -> None:
        self._path = _home() / _BELOW_HOME
        self._folder = FolderStore(self._path, suffixes=frozenset({".pfx"}))

    @property
    def name(self) -> str:
        """Its name in PowerShell, and its path."""
        return rf"CurrentUser\My ({self._path})"

    def search(self, query: CertificateQuery) -> StoreListing:
        """
        Return the certificates of all files. A store that was never written to is empty.

        Raises:
            ConfigurationError: If others than this user or root could have put certificates there, or it may not be
                read.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return StoreListing(problems=[f"{self._path} does not exist"])
        except OSError as error:
            message = f"{self._path} cannot be looked into: {error.strerror}."
            raise ConfigurationError(message, field=query.field, hint="Let this process's user enter it.") from error
        # .NET checks the owner when it writes; a credential is worth checking when it is read.
        if status.st_uid not in {os.geteuid(), 0}:
            message = f"{self._path} belongs to another user (uid {status.st_uid})."
            hint = "Give it to the user that this process runs as, or give the folder with folder=."
            raise ConfigurationError(message, field=query.field, hint=hint)
        if status.st_mode & stat.S_IWOTH:
            message = f"Every user may write to {self._path}."
            raise ConfigurationError(message, field=query.field, hint=f"Close it with: chmod go-w {self._path}")
        return self._folder.search(query)


def _home() -> Path:
    """Return the home folder as .NET finds it: ``HOME`` if it is set, else what the user database says."""
    home = os.environ.get("HOME")
    if not home:
        import pwd  # not on Windows, where nothing needs it

        try:
            home = pwd.getpwuid(os.geteuid()).pw_dir
        except KeyError as error:
            message = "This user has no home folder, in which .NET would keep certificates."
            raise ConfigurationError(message, field="thumbprint", hint="Set HOME, or give folder= or path=.") from error
    return Path(home)
