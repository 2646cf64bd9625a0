"""The certificate authority that signs the emulator's TLS certificate."""

from __future__ import annotations

import ssl

import trustme

__all__ = ("CertificateAuthority",)


class CertificateAuthority:
    """
    A certificate authority of this emulator alone, with one certificate for the loopback names and for key vaults.

    A client of Key Vault checks that the vault's name is one of Azure's, so the vault is served under such a name, too.

    Everything here reads or writes files, or computes keys: call it in a worker thread.
    """

    def __init__(self) -> None:
        self._authority = trustme.CA(key_type=trustme.KeyType.ECDSA)

    @property
    def pem(self) -> bytes:
        """The authority's certificate, PEM."""
        return self._authority.cert_pem.bytes()

    def server_context(self) -> ssl.SSLContext:
        """Return the context the listeners use: TLS 1.2 or newer, HTTP/1.1."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_alpn_protocols(["http/1.1"])
        names = ("localhost", "127.0.0.1", "::1", "*.vault.azure.net")
        self._authority.issue_cert(*names, key_type=trustme.KeyType.ECDSA).configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Return a context that trusts this authority and no other."""
        return ssl.create_default_context(cadata=self.pem.decode("ascii"))
