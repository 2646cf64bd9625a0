"""
Find a certificate to sign in with where several are kept: by thumbprint, by name, or simply the newest.

A certificate that is renewed under its name is taken up: of those that are valid and have a private key, the one that
lasts longest wins.
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
    What is looked for. With neither, any certificate will do.

    Attributes:
        thumbprint: SHA-1, 40 upper-case hex digits.
        name: The subject's distinguished name or its common name.
    """

    thumbprint: str | None = None
    name: str | None = None

    @property
    def field(self) -> str:
        """The parameter that says it, for an error."""
        return "thumbprint" if self.thumbprint is not None else "name" if self.name is not None else "folder"

    def matches(self, certificate: x509.Certificate) -> bool:
        """Return whether the certificate is one of those."""
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
        open: Makes it sign, or says why it cannot, at the time it is given; ``None`` if there is no private key.
    """

    certificate: x509.Certificate
    open: Callable[[datetime], CertificateSigner] | None


@dataclass(frozen=True, slots=True)
class StoreListing:
    """
    What a store holds.

    Attributes:
        candidates: Its certificates.
        problems: What could not be looked at, and why, each a sentence.
    """

    candidates: Sequence[Candidate] = ()
    problems: Sequence[str] = ()


class CertificateStore(Protocol):
    """A place where certificates are kept."""

    @property
    def name(self) -> str:
        """What an error calls it."""
        ...

    def search(self, wanted: CertificateQuery) -> StoreListing:
        r"""
        Return what it holds now; what is not *wanted* may be left out. Blocks.

        Raises:
            ConfigurationError: If the caller named a place that is none.
        """
        ...


def find(stores: Sequence[CertificateStore], wanted: CertificateQuery, *, now: datetime) -> CertificateSigner:
    """
    Return the certificate of the first store that has a usable one. Blocks while it looks.

    Args:
        stores: Where to look, in this order.
        wanted: What to look for.
        now: Current time, with a time zone.

    Raises:
        ConfigurationError: If there is none, with ``field`` ``"thumbprint"``, ``"name"`` or ``"folder"``; the message
            says which were seen and what is wrong with them.
        CredentialUnavailableError: If this machine has no store that can be read.
    """
    listings = []
    for store in stores:
        listing = store.search(wanted)
        listings.append(listing)
        usable = [
            (candidate.certificate.not_valid_after_utc, candidate.certificate.not_valid_before_utc, number)
            for number, candidate in enumerate(listing.candidates)
            if candidate.open is not None and wanted.matches(candidate.certificate) and _flaw_of(candidate, now) is None
        ]
        if usable:
            chosen = listing.candidates[max(usable)[2]]
            assert chosen.open is not None
            return chosen.open(now)
    raise _refuse(stores, listings, wanted, now)


def _refuse(
    stores: Sequence[CertificateStore], listings: Sequence[StoreListing], wanted: CertificateQuery, now: datetime
) -> ConfigurationError:
    where = " or ".join(store.name for store in stores)
    problems = [problem for listing in listings for problem in listing.problems]
    skipped = f" Not looked at: {_join(problems)}." if problems else ""
    everything = [candidate for listing in listings for candidate in listing.candidates]
    seen = [candidate for candidate in everything if wanted.matches(candidate.certificate)]
    if seen:
        flaws = _join([f"{_show(candidate)} {_flaw_of(candidate, now)}" for candidate in seen])
        message = f"No certificate {wanted} in {where} can be used: {flaws}.{skipped}"
        hint = "Renew it, or import it with its private key, and upload its public part to the app registration."
        return ConfigurationError(message, field=wanted.field, hint=hint)
    names = _join(sorted({show_subject(candidate.certificate) for candidate in everything}))
    others = f" There are: {names}." if names else ""
    message = f"There is no certificate {wanted} in {where}.{others}{skipped}"
    hint = "Import it there, for the user that this process runs as, or give its file with path=."
    return ConfigurationError(message, field=wanted.field, hint=hint)


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
