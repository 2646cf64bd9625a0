"""A folder of PFX and PEM files as a store of certificates. Blocking."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from entra_async.certificates.load import CertificateFile
from entra_async.certificates.signing import SigningCertificate, check
from entra_async.certificates.stores.find import Candidate, CertificateQuery, StoreListing
from entra_async.errors import ConfigurationError

__all__ = ("FolderStore",)

_SUFFIXES: Final = frozenset({".pfx", ".p12", ".pem"})


class FolderStore:
    """
    The files of one folder, read anew each time; one that cannot be read is passed over.

    Args:
        path: The folder. What lies in folders within it is not looked at.
        password: Opens those files that have one.
        suffixes: Which files, by the end of their names in lower case.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        password: str | bytes | None = None,
        suffixes: frozenset[str] = _SUFFIXES,
    ) -> None:
        self._path = Path(path)
        self._password = password
        self._suffixes = suffixes
        # Kept, so that only a file that changed is decrypted again.
        self._files: dict[Path, CertificateFile] = {}

    @property
    def name(self) -> str:
        """The path of the folder."""
        return str(self._path)

    def search(self, query: CertificateQuery) -> StoreListing:
        """
        Return the certificates of all files; of a thumbprint that was found with its key, those up to it.

        Raises:
            ConfigurationError: If there is no such folder, or it may not be read.
        """
        candidates: list[Candidate] = []
        problems: list[str] = []
        paths = self._list_paths(first=query.thumbprint)
        self._files = {path: self._files.get(path) or self._file(path) for path in paths}
        for file in self._files.values():
            try:
                found = [*_candidates_of(file, query)]
            except ConfigurationError as error:
                problems.append(str(error.args[0]).rstrip("."))
                continue
            candidates += found
            if query.thumbprint and any(one.open and query.matches(one.certificate) for one in found):
                break
        return StoreListing(candidates, problems)

    def _file(self, path: Path) -> CertificateFile:
        return CertificateFile(path=path, password=self._password)

    def _list_paths(self, *, first: str | None) -> list[Path]:
        try:
            entries = sorted(self._path.iterdir())
            paths = [path for path in entries if path.suffix.lower() in self._suffixes and _may_be_read(path)]
        except (FileNotFoundError, NotADirectoryError) as error:
            message = f"{self._path} is no folder."
            raise ConfigurationError(message, field="folder", hint=f"It means {self._path.absolute()}.") from error
        except OSError as error:
            message = f"{self._path} cannot be looked into: {error.strerror}."
            hint = "Let the user that this process runs as list and enter it."
            raise ConfigurationError(message, field="folder", hint=hint) from error
        # A thumbprint is looked for in the files named after it before others are decrypted.
        return sorted(paths, key=lambda path: not (first and path.name.upper().startswith(first)))


def _may_be_read(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return True  # reading it will say why not


def _candidates_of(file: CertificateFile, query: CertificateQuery) -> Iterator[Candidate]:
    for certificate, key, chain in file.entries():
        opened = None if key is None else partial(_open, key, certificate, chain, query.field)
        yield Candidate(certificate, opened)


def _open(
    key: PrivateKeyTypes,
    certificate: x509.Certificate,
    chain: tuple[x509.Certificate, ...],
    field: str,
    now: datetime,
) -> SigningCertificate:
    checked = check(key, certificate, now=now, key_field=field, certificate_field=field)
    return SigningCertificate(checked, certificate, chain)
