"""Sign in as an application, with a certificate."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, final

from entra_async.certificates.thumbprint import parse_thumbprint
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.application import AppTokenSource
from entra_async.credentials.sources.certificate_assertion import CertificateAssertions
from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.identifiers import check_app_tenant_id, check_client_id
from entra_async.secrecy import keeps_arguments_secret
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token
from entra_async.transport.msal import Application

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate as X509Certificate

__all__ = ("Certificate",)

# The parameters that each further one requires.
_REQUIRES: Final = {
    "password": ("path", "data", "folder"),
    "folder": ("thumbprint", "name", "folder"),
    "private_key": ("certificate",),
    "signer": ("certificate",),
}


@keeps_arguments_secret
@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    r"""
    An application that authenticates with a certificate and its private key.

    Give exactly one of *path*, *data*, *thumbprint*, *name*, *folder* (alone, or saying where *thumbprint* or *name* is
    looked for), or *certificate* with *private_key* or *signer*. A file is read and a store is searched again for every
    new token, so that a renewed certificate is taken up without a restart.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, or one of its domains.
        path: A PFX (PKCS#12) or PEM file with certificate and private key.
        data: The bytes of such a file.
        password: Opens the file, or the files of the folder.
        thumbprint: SHA-1 thumbprint of a certificate in a store of the operating system: on Windows
            ``CurrentUser\My``, then ``LocalMachine\My``; on Linux where PowerShell keeps ``CurrentUser\My``. Case,
            blanks and colons do not matter.
        name: Subject of such a certificate: its common name or its whole distinguished name, in any case. Of several
            with a private key, the one that is valid longest.
        folder: A folder of PFX and PEM files in place of the store. Alone, its newest certificate.
        certificate: A certificate of the ``cryptography`` library, or its PEM.
        private_key: Its RSA key, of the same library. Such a provider cannot be pickled.
        signer: Signs in place of a key, for keys that never leave an HSM or a vault. It is called with the SHA-256
            digest (32 bytes) and returns its RSASSA-PSS signature (``PS256``: SHA-256, salt of 32 bytes), or an
            awaitable of it; one that is not ``async`` is called in a thread.
        send_x5c: Send the certificate and its chain along, for applications that trust its subject name and issuer.
        timeout_s: Seconds that finding the certificate and signing with it may take.

    Raises:
        ConfigurationError: If a value is missing or malformed, or the mix is wrong. What a file or store holds is
            checked when signing in, still before anything is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
    """

    client_id: str
    tenant_id: str
    path: str | os.PathLike[str] | None = None
    data: bytes | None = field(default=None, repr=False)
    password: str | bytes | None = field(default=None, repr=False)
    thumbprint: str | None = None
    name: str | None = None
    folder: str | os.PathLike[str] | None = None
    certificate: X509Certificate | str | bytes | None = field(default=None, repr=False)
    private_key: RSAPrivateKey | None = field(default=None, repr=False)
    signer: Callable[[bytes], bytes | Awaitable[bytes]] | None = field(default=None, repr=False)
    send_x5c: bool = False
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "client_id", check_client_id(self.client_id))
        check_app_tenant_id(self.tenant_id)
        given = [
            name for name in ("path", "data", "thumbprint", "name", "certificate") if getattr(self, name) is not None
        ]
        if not given and self.folder is not None:
            given = ["folder"]
        if len(given) != 1:
            what = "nothing" if not given else " and ".join(given)
            message = (
                "A certificate comes from exactly one of path, data, thumbprint, name, folder, or certificate with "
                f"private_key or signer; given: {what}."
            )
            raise ConfigurationError(message, field=given[1] if given else "path", hint="Keep one of them.")
        present = {*given, "folder"} if self.folder is not None else {*given}
        for name, others in _REQUIRES.items():
            beside = {*given} if name == "folder" else present
            if getattr(self, name) is not None and not beside & {*others}:
                message = f"{name} does not go with {given[0]}."
                raise ConfigurationError(message, field=name, hint=f"It goes with {' or '.join(others)}; leave it out.")
        if self.certificate is not None and (self.private_key is None) == (self.signer is None):
            missing = self.private_key is None
            message = (
                "private_key is missing: a certificate object and its key, or what signs for it, are given together."
                if missing
                else "private_key and signer are two ways to sign."
            )
            hint = "Give private_key= or signer=, or a file with path=." if missing else "Keep one of them."
            raise ConfigurationError(message, field="private_key" if missing else "signer", hint=hint)
        self._check_values()

    def _check_values(self) -> None:
        if self.thumbprint is not None:
            object.__setattr__(self, "thumbprint", parse_thumbprint(self.thumbprint))
        if self.name is not None and (not isinstance(self.name, str) or not self.name.strip()):
            message = f"name is {self.name!r}, which names no certificate."
            raise ConfigurationError(message, field="name", hint="Give its common name or its distinguished name.")
        if self.signer is not None and not callable(self.signer):
            message = f"signer is a {type(self.signer).__name__}, which cannot be called."
            raise ConfigurationError(message, field="signer", hint="Give a function that takes a digest.")
        # `not >` rather than `<=`: NaN must not pass.
        if not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0:
            message = f"timeout_s is {self.timeout_s!r}."
            raise ConfigurationError(message, field="timeout_s", hint="Give a number of seconds greater than zero.")

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return _CertificateSource(self, context)


@final
class _CertificateSource:
    def __init__(self, provider: Certificate, context: SignInContext) -> None:
        self._provider = provider
        self._context = context
        self._assertions = CertificateAssertions(provider, context.msal.time)

    async def get_token(self, *scopes: str, tenant_id: str | None = None, **options: Any) -> Token:
        tenant = check_app_tenant_id(tenant_id or self._provider.tenant_id)
        application = Application(f"{self._context.authority}/{tenant}", self._provider.client_id)

        async def request() -> Token:
            # Made here and not in MSAL's thread: an external signer runs on the event loop.
            assertion = await self._assertions.make(application.token_endpoint)
            source = AppTokenSource(self._context, self._provider.client_id, tenant, lambda _: assertion)
            return await source.get_token(*scopes, **options)

        return await self._assertions.retry(request)

    async def aclose(self) -> None:
        pass
