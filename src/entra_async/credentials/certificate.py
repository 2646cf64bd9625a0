"""Sign in as an application, with a certificate."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from entra_async.credentials.app_source import AppTokenSource
from entra_async.credentials.provider import SignInContext
from entra_async.errors import ConfigurationError
from entra_async.rules.identifiers import check_app_tenant_id, check_client_id
from entra_async.tokens.source import TokenSource

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate as X509Certificate

    from entra_async.certificates.load import CertificateFile

__all__ = ("Certificate",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """
    An application that proves itself with a certificate and its private key.

    Give exactly one of *path*, *data*, or *certificate* with *private_key*. A file is read again for every new
    token, so that a renewed certificate is taken up without a restart.

    Attributes:
        client_id: GUID of the application.
        tenant_id: GUID of the tenant, or one of its domains.
        path: A PFX (PKCS#12) or PEM file with certificate and private key.
        data: The bytes of such a file.
        password: Opens the file or its key.
        certificate: A certificate of the ``cryptography`` library.
        private_key: Its RSA key, of the same library. Such a provider cannot be pickled.
        send_x5c: Send the certificate and its chain along, for applications that trust its subject name and issuer.

    Raises:
        ConfigurationError: If a value is missing or malformed, or the mix is wrong. What a file holds is
            checked when signing in, still before anything is sent.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity-platform/certificate-credentials
    """

    client_id: str
    tenant_id: str
    path: str | os.PathLike[str] | None = None
    data: bytes | None = field(default=None, repr=False)
    password: str | bytes | None = field(default=None, repr=False)
    certificate: X509Certificate | None = field(default=None, repr=False)
    private_key: RSAPrivateKey | None = field(default=None, repr=False)
    send_x5c: bool = False

    def __post_init__(self) -> None:
        check_client_id(self.client_id)
        check_app_tenant_id(self.tenant_id)
        given = [name for name in ("path", "data", "certificate") if getattr(self, name) is not None]
        if len(given) != 1:
            what = "nothing" if not given else " and ".join(given)
            message = (
                f"A certificate comes from exactly one of path, data, or certificate with private_key; given: {what}."
            )
            raise ConfigurationError(message, field=given[1] if given else "path", hint="Keep one of them.")
        if (self.certificate is None) != (self.private_key is None):
            missing = "private_key" if self.private_key is None else "certificate"
            message = f"{missing} is missing: a certificate object and its key are given together."
            raise ConfigurationError(message, field=missing, hint="Give both, or a file with path=.")
        if self.certificate is not None and self.password is not None:
            message = "password opens a file; a certificate object has none."
            raise ConfigurationError(message, field="password", hint="Leave it out.")

    def open(self, context: SignInContext) -> TokenSource:
        """Return a live source of tokens; the Session calls this."""
        file: CertificateFile | None = None

        def credential(token_endpoint: str) -> dict[str, Any]:
            from entra_async.certificates.assertion import sign_assertion
            from entra_async.certificates.load import CertificateFile
            from entra_async.certificates.signing import from_objects

            nonlocal file
            now = context.clock.now()
            moment = datetime.fromtimestamp(now, UTC)
            if self.certificate is not None and self.private_key is not None:
                loaded = from_objects(self.private_key, self.certificate, now=moment)
            else:
                file = file or CertificateFile(path=self.path, data=self.data, password=self.password)
                loaded = file.load(now=moment)
            assertion = sign_assertion(
                loaded, client_id=self.client_id, audience=token_endpoint, now=now, send_x5c=self.send_x5c
            )
            return {"client_assertion": lambda: assertion}

        return AppTokenSource(context, self.client_id, self.tenant_id, credential)
