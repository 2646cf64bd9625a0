"""
Find a certificate in a certificate store: by thumbprint, by name, or the newest.

A certificate that is renewed under its name is picked up: of those that are valid and have a private key, the one that
expires last is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA1

from entra_async.certificates.signer import CertificateSigner
from entra_async.certificates.subject import has_subject, show_subject
from entra_async.errors import ConfigurationError

__all__ = ("Candidate", "CertificateQuery", "CertificateStore", "StoreListing", "find")

_MAX_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class CertificateQuery:
    """
    The certificate to find. With neither, any certificate matches.

    Attributes:
        thumbprint: SHA-1, 40 upper-case hex digits.
        name: The subject's distinguished name or its common name.
    """

    thumbprint: str | None = None
    name: str | None = None

    @property
    def field(self) -> str:
        """The parameter of ``connect``, for an error."""
        return "thumbprint" if self.thumbprint is not None else "name" if self.name is not None else "folder"

    def matches(self, certificate: x509.Certificate) -> bool:
        """Return whether the certificate matches."""
        if self.thumbprint is not None:
            return _thumbprint(certificate) == self.thumbprint
        return self.name is None or has_subject(certificate, self.name)

    def __str__(self) -> str:
        if self.thumbprint is not None:
            return f"with the thumbprint {self.thumbprint}"
        return "to sign in with" if self.name is None else f"named {self.name!r}"


@dataclass(frozen=True, slots=True)
class Candidate:
    """
    A certificate of a store.

    Attributes:
        certificate: The certificate.
        open: Returns its signer, or raises why it cannot sign at the time it is given; ``None`` without a private key.
    """

    certificate: x509.Certificate
    open: Callable[[datetime], CertificateSigner] | None


@dataclass(frozen=True, slots=True)
class StoreListing:
    """
    The certificates of a store.

    Attributes:
        candidates: The certificates.
        problems: What could not be read, and why, each a sentence.
    """

    candidates: Sequence[Candidate] = ()
    problems: Sequence[str] = ()


class CertificateStore(Protocol):
    """A store of certificates."""

    @property
    def name(self) -> str:
        """Its name in errors."""
        ...

    def search(self, query: CertificateQuery) -> StoreListing:
        r"""
        Return its certificates; those that do not match *query* may be left out. Blocks.

        Raises:
            ConfigurationError: If the caller named a store that does not exist.
        """
        ...


def find(stores: Sequence[CertificateStore], query: CertificateQuery, *, now: datetime) -> CertificateSigner:
    """
    Return the certificate of the first store that has a usable one. Blocks while it looks.

    Args:
        stores: Where to look, in this order.
        query: The certificate to find.
        now: Current time, with a time zone.

    Raises:
        ConfigurationError: If there is none, with ``field`` ``"thumbprint"``, ``"name"`` or ``"folder"``; the message
            says which were found and what is wrong with them.
        CredentialUnavailableError: If this machine has no store that can be read.
    """
    listings = []
    for store in stores:
        listing = store.search(query)
        listings.append(listing)
        usable = [
            (candidate.certificate.not_valid_after_utc, candidate.certificate.not_valid_before_utc, number)
            for number, candidate in enumerate(listing.candidates)
            if candidate.open is not None and query.matches(candidate.certificate) and _flaw_of(candidate, now) is None
        ]
        if usable:
            chosen = listing.candidates[max(usable)[2]]
            assert chosen.open is not None
            return chosen.open(now)
    raise _not_found(stores, listings, query, now)


def _not_found(
    stores: Sequence[CertificateStore], listings: Sequence[StoreListing], query: CertificateQuery, now: datetime
) -> ConfigurationError:
    where = " or ".join(store.name for store in stores)
    problems = [problem for listing in listings for problem in listing.problems]
    skipped = f" Not looked at: {_join(problems)}." if problems else ""
    everything = [candidate for listing in listings for candidate in listing.candidates]
    matching = [candidate for candidate in everything if query.matches(candidate.certificate)]
    if matching:
        flaws = _join([f"{_show(candidate)} {_flaw_of(candidate, now)}" for candidate in matching])
        message = f"No certificate {query} in {where} can be used: {flaws}.{skipped}"
        hint = "Renew it, or import it with its private key, and upload its public part to the app registration."
        return ConfigurationError(message, field=query.field, hint=hint)
    names = _join(sorted({show_subject(candidate.certificate) for candidate in everything}))
    others = f" There are: {names}." if names else ""
    message = f"There is no certificate {query} in {where}.{others}{skipped}"
    hint = "Import it there, for the user that this process runs as, or give its file with path=."
    return ConfigurationError(message, field=query.field, hint=hint)


def _flaw_of(candidate: Candidate, now: datetime) -> str | None:
    certificate = candidate.certificate
    if candidate.open is None:
        return "has no private key"
    if now > certificate.not_valid_after_utc:
        return f"expired on {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    if now < certificate.not_valid_before_utc:
        return f"is not valid before {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
    return None


def _show(candidate: Candidate) -> str:
    return f"{show_subject(candidate.certificate)} ({_thumbprint(candidate.certificate)})"


def _thumbprint(certificate: x509.Certificate) -> str:
    return certificate.fingerprint(SHA1()).hex().upper()  # noqa: S303 -- names the certificate, secures nothing


def _join(texts: Sequence[str]) -> str:
    more = len(texts) - _MAX_SHOWN
    return "; ".join(texts[:_MAX_SHOWN]) + (f"; and {more} more" if more > 0 else "")
