"""Client assertions signed by a certificate's key; the certificate is read anew for each one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, final

import anyio

from entra_async.certificates.abandon import run_abandonable
from entra_async.errors import AuthenticationError
from entra_async.tokens.token import Token
from entra_async.transport.per_loop import PerLoop
from entra_async.transport.service_time import ServiceTime

if TYPE_CHECKING:
    from entra_async.certificates.signer import CertificateSigner
    from entra_async.credentials.certificate import Certificate

__all__ = ("CertificateAssertions",)

_ASSERTION_EXPIRED: Final = "AADSTS700024"
_MIN_CORRECTION_S: Final = 5.0


@final
class CertificateAssertions:
    """
    Makes client assertions for one application.

    Args:
        provider: The application and where its certificate is.
        time: The time of the token service, which refuses assertions that are expired or not yet valid by its clock.
    """

    def __init__(self, provider: Certificate, time: ServiceTime) -> None:
        self._provider = provider
        self._time = time
        self._load: Callable[[datetime], CertificateSigner] | None = None
        # Several tokens may be requested at once; the certificate is decrypted once.
        self._reading = PerLoop(anyio.Lock)

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
                now = self._time.now()
                async with self._reading.get():
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

    async def retry(self, request: Callable[[], Awaitable[Token]]) -> Token:
        """
        Return what *request* returns, called once more if an assertion was refused for its times and ours were wrong.

        Args:
            request: Makes an assertion and requests a token with it.

        Raises:
            AuthenticationError: If the token service refuses.
        """
        before_s = self._time.offset_s
        try:
            return await request()
        except AuthenticationError as error:
            # The error response has the service's time.
            if error.code != _ASSERTION_EXPIRED or abs(self._time.offset_s - before_s) < _MIN_CORRECTION_S:
                raise
        return await request()

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
    from entra_async.certificates.stores.find import CertificateQuery, find

    wanted = CertificateQuery(provider.thumbprint, provider.name)
    if provider.folder is None:
        from entra_async.certificates.stores.system_stores import system_stores

        stores = system_stores()
    else:
        from entra_async.certificates.stores.folder import FolderStore

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
