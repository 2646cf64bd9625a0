"""Client assertions of a certificate: it is looked up and read anew for each one, and its key signs wherever it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, final

import anyio

from entra_async.certificates.abandon import run_abandonable
from entra_async.config import Clock
from entra_async.errors import AuthenticationError

if TYPE_CHECKING:
    from entra_async.certificates.signer import CertificateSigner
    from entra_async.credentials.certificate import Certificate

__all__ = ("CertificateAssertions",)


@final
class CertificateAssertions:
    """
    Makes assertions for one application.

    Args:
        provider: The application and where its certificate is.
        clock: Where time comes from.
    """

    def __init__(self, provider: Certificate, clock: Clock) -> None:
        self._provider = provider
        self._clock = clock
        self._load: Callable[[datetime], CertificateSigner] | None = None
        # Several tokens may be asked for at once; what they need is decrypted once.
        self._reading = anyio.Lock()

    async def make(self, token_endpoint: str) -> dict[str, Any]:
        """
        Return a fresh assertion for a token endpoint as MSAL's ``client_credential``.

        Raises:
            ConfigurationError: If there is no usable certificate. Nothing was sent.
            AuthenticationError: If its key refuses to sign, or the provider's ``timeout_s`` is over.
        """
        step = "The certificate could not be read"
        try:
            with anyio.fail_after(self._provider.timeout_s):
                now = self._clock.now()
                async with self._reading:
                    signer = await run_abandonable(lambda: self._read(datetime.fromtimestamp(now, UTC)))
                step = "The certificate's key did not sign"
                # Imported with the libraries it needs by the thread that has just ended.
                from entra_async.certificates.assertion import sign_assertion

                assertion = await sign_assertion(
                    signer,
                    client_id=self._provider.client_id,
                    audience=token_endpoint,
                    now=now,
                    send_x5c=self._provider.send_x5c,
                )
        except TimeoutError:
            message = f"{step} within {self._provider.timeout_s:g} s."
            hint = "Check the share, store or device it is on, or allow more with timeout_s=."
            raise AuthenticationError(message, hint=hint, attempts=0) from None
        return {"client_assertion": lambda: assertion}

    def _read(self, now: datetime) -> CertificateSigner:
        import entra_async.certificates.assertion  # noqa: F401 -- loads its libraries here, off the event loop

        load = self._load = self._load or _loader_of(self._provider)
        return load(now)


def _loader_of(provider: Certificate) -> Callable[[datetime], CertificateSigner]:
    if provider.certificate is not None:
        return _loader_of_object(provider, provider.certificate)
    if provider.path is not None or provider.data is not None:
        from entra_async.certificates.load import CertificateFile

        file = CertificateFile(path=provider.path, data=provider.data, password=provider.password)
        return lambda now: file.load(now=now)
    from entra_async.certificates.find import Wanted, find

    wanted = Wanted(provider.thumbprint, provider.name)
    if provider.folder is None:
        from entra_async.certificates.system_stores import system_stores

        stores = system_stores()
    else:
        from entra_async.certificates.folder import FolderStore

        stores = [FolderStore(provider.folder, password=provider.password)]
    return lambda now: find(stores, wanted, now=now)


def _loader_of_object(provider: Certificate, given: Any) -> Callable[[datetime], CertificateSigner]:
    from entra_async.certificates.public import read_public
    from entra_async.certificates.signer import ExternalSigner
    from entra_async.certificates.signing import check_public, from_objects

    def load(now: datetime) -> CertificateSigner:
        certificate, *chain = read_public(given)
        if provider.private_key is not None:
            return from_objects(provider.private_key, certificate, chain, now=now)
        assert provider.signer is not None
        check_public(certificate, now=now, field="certificate")
        return ExternalSigner(certificate, tuple(chain), provider.signer)

    return load
