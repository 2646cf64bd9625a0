"""
The secrets of the emulated Key Vault with their versions, and the permissions of apps.

Sources:
    https://learn.microsoft.com/en-us/azure/key-vault/secrets/about-secrets
    https://learn.microsoft.com/en-us/azure/key-vault/certificates/about-certificates
"""

from __future__ import annotations

import base64
import re
import secrets
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, pkcs12

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from entra_async.testing.clock import EmulatorClock
    from entra_async.testing.crypto.keys import KeyPair

__all__ = ("PEM", "PKCS12", "SecretVersion", "Vault", "VaultBehaviour", "is_secret_name")

PKCS12: Final = "application/x-pkcs12"
"""Content type of a certificate kept as a PFX file in base64, without a password."""

PEM: Final = "application/x-pem-file"
"""Content type of a certificate kept as PEM text."""

_NAME: Final = re.compile(r"[0-9A-Za-z-]{1,127}")


def is_secret_name(name: str) -> bool:
    """Return whether a secret can have that name."""
    return _NAME.fullmatch(name) is not None


@dataclass(slots=True, kw_only=True)
class SecretVersion:
    """
    One version of a secret. Change it while the emulator runs, as its owner would with the portal.

    Attributes:
        version: 32 hexadecimal digits.
        value: The secret itself.
        content_type: What the owner says it is, or ``None``.
        created: Epoch seconds.
        enabled: Whether it may be read.
        not_before: Epoch seconds before which it may not be read, or ``None``.
        expires_on: Epoch seconds from which it may not be read, or ``None``.
        managed: Whether it belongs to a certificate of the vault.
        tags: Names and values of the owner.
    """

    version: str
    value: str = field(repr=False)
    content_type: str | None
    created: int
    enabled: bool = True
    not_before: int | None = None
    expires_on: int | None = None
    managed: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class VaultBehaviour:
    """
    How the vault behaves. Change it while the emulator runs.

    Attributes:
        page_size: Entries of a page when the client names no number; the service's own is 25.
        revoked_at: Epoch seconds, or ``None``: tokens issued before get a claims challenge, if their
            client declared to handle one (continuous access evaluation).
        firewalled: Whether the vault's network rules deny every request.
    """

    page_size: int = 25
    revoked_at: float | None = None
    firewalled: bool = False


class Vault:
    """
    One vault.

    Attributes:
        name: Its name, as in ``https://{name}.vault.azure.net``; another one in each emulator, since Azure's client
            remembers by name, for as long as its process lives, which tenant a vault belongs to.
        url: Where the emulator serves it, without a trailing slash.
        host: The name it would have in Azure. It is served under this name, too, to clients that resolve it to the
            emulator: the port is that of :attr:`url`, and the TLS certificate holds the name.
        behaviour: How it behaves.
    """

    def __init__(self, *, clock: EmulatorClock) -> None:
        self.name = f"contoso-{secrets.token_hex(4)}"
        self.url = ""
        self.host = f"{self.name}.vault.azure.net"
        self.behaviour = VaultBehaviour()
        self._clock = clock
        self._secrets: dict[str, list[SecretVersion]] = {}
        self._deleted: dict[str, list[SecretVersion]] = {}
        self._permissions: dict[str, frozenset[str]] = {}

    def set_secret(
        self,
        name: str,
        value: str,
        *,
        content_type: str | None = None,
        enabled: bool = True,
        not_before: float | None = None,
        expires_on: float | None = None,
        managed: bool = False,
        tags: Mapping[str, str] | None = None,
    ) -> SecretVersion:
        """
        Add a version, the newest, to a secret; the first one makes the secret.

        Args:
            name: 1 to 127 letters, digits and hyphens; case does not matter.
            value: The secret itself.
            content_type: What it is, such as ``"application/x-pkcs12"``.
            enabled: Whether it may be read.
            not_before: Epoch seconds before which it may not be read.
            expires_on: Epoch seconds from which it may not be read.
            managed: Whether it belongs to a certificate.
            tags: Names and values.

        Raises:
            ValueError: If the name is not allowed, or a deleted secret holds it still.
        """
        if not is_secret_name(name):
            message = f"A secret cannot be named {name!r}."
            raise ValueError(message)
        if name.lower() in self._deleted:
            message = f"{name!r} is deleted but recoverable, so its name is taken."
            raise ValueError(message)
        versions = self._secrets.setdefault(name.lower(), [])
        # A vault counts whole seconds, and clients go by them: two versions never share one here.
        created = max(int(self._clock.now()), versions[-1].created + 1 if versions else 0)
        version = SecretVersion(
            version=uuid.uuid4().hex,
            value=value,
            content_type=content_type,
            created=created,
            enabled=enabled,
            not_before=None if not_before is None else int(not_before),
            expires_on=None if expires_on is None else int(expires_on),
            managed=managed,
            tags=dict(tags or {}),
        )
        versions.append(version)
        return version

    def set_certificate(
        self, name: str, pair: KeyPair, *, content_type: str = PKCS12, exportable: bool = True
    ) -> SecretVersion:
        """
        Add a version of a certificate: the secret of the same name, which is all that the emulator has of it.

        Args:
            name: As of a secret.
            pair: Key and certificate.
            content_type: ``"application/x-pkcs12"`` or ``"application/x-pem-file"``.
            exportable: ``False`` if the key may not leave the vault: then the secret holds the certificate alone.
        """
        key = pair.private_key if exportable else None
        if content_type == PKCS12:
            pfx = pkcs12.serialize_key_and_certificates(None, key, pair.certificate, None, NoEncryption())
            value = base64.b64encode(pfx).decode()
        else:
            private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) if key else b""
            value = (private + pair.certificate.public_bytes(Encoding.PEM)).decode()
        return self.set_secret(name, value, content_type=content_type, managed=True)

    def delete_secret(self, name: str) -> None:
        """
        Delete a secret softly: it can be recovered, and not be read.

        Raises:
            KeyError: If there is no such secret.
        """
        self._deleted[name.lower()] = self._secrets.pop(name.lower())

    def recover_secret(self, name: str) -> None:
        """
        Take back a deletion.

        Raises:
            KeyError: If no such secret is deleted.
        """
        self._secrets[name.lower()] = self._deleted.pop(name.lower())

    def names(self) -> list[str]:
        """Return the names of all secrets, in lower case and order."""
        return sorted(self._secrets)

    def versions(self, name: str) -> list[SecretVersion]:
        """Return the versions of a secret, oldest first; empty if there is no such secret."""
        return self._secrets.get(name.lower(), [])

    def allow(self, client_id: str, permissions: Collection[str]) -> None:
        """
        Set the permissions of an app, also where a user signs in with it. By default it may get and list.

        Args:
            client_id: The app.
            permissions: ``"get"``, ``"list"``, both or nothing.
        """
        self._permissions[client_id.lower()] = frozenset(permissions)

    def is_allowed(self, client_id: str, permission: str) -> bool:
        """Return whether an app has a permission."""
        return permission in self._permissions.get(client_id.lower(), frozenset({"get", "list"}))
