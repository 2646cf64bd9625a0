"""The name that an account's tokens are stored under, the same in every process."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from typing import Any, Final

__all__ = ("stored_as",)

_PACKAGE: Final = "entra_async.credentials."
# The fields that identify the account, for each provider whose tokens may be shared. How the user is prompted, and how
# long that may take, does not; of a federation only its outcome counts, which is the application.
_IDENTIFYING: Final = {
    "Browser": ("client_id", "tenant_id", "login_hint"),
    "Certificate": ("client_id", "tenant_id", "path", "data", "thumbprint", "name", "folder", "certificate"),
    "ClientSecret": ("client_id", "tenant_id", "client_secret"),
    "DeviceCode": ("client_id", "tenant_id"),
    "Federated": ("client_id", "tenant_id", "provider"),
    "KeyVault": ("client_id", "tenant_id", "vault_name", "secret_name"),
    "ManagedIdentity": ("identity_id", "identity_type"),
    "OnBehalfOf": ("client_id", "tenant_id", "user_assertion", "client_secret", "certificate"),
    "RefreshToken": ("client_id", "tenant_id", "refresh_token"),
    "UsernamePassword": ("client_id", "tenant_id", "username", "password"),
}

_PROMPTS: Final = ("login", "select_account", "consent")


def stored_as(provider: object, authority: str) -> str | None:
    """
    Return a text that identifies the account, without any secret; ``None`` if tokens of the provider are not shared.

    Not shared are those that others store already (Azure CLI and its like), static ones, those that come from code, and
    those of a user who is to be prompted each time (``prompt=``).

    Args:
        provider: How to sign in.
        authority: Root of the sign-in service.
    """
    if getattr(provider, "prompt", None) in _PROMPTS or getattr(provider, "fall_back_to_azure_cli", False):
        return None
    try:
        identity = _identify(provider)
    except TypeError:  # it will be refused when it is used
        return None
    if identity is None:
        return None
    # A managed identity is the machine's own, whatever else is alike.
    machine = platform.node() if type(provider).__name__ == "ManagedIdentity" else ""
    text = json.dumps([authority, machine, identity])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _identify(provider: object) -> list[Any] | None:
    kind = type(provider)
    fields = _IDENTIFYING.get(kind.__name__) if kind.__module__.startswith(_PACKAGE) else None
    return None if fields is None else [kind.__name__, *(_write(getattr(provider, field)) for field in fields)]


def _write(value: Any) -> Any:
    # Kind and value, so that no two values are written alike.
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):
        return ["bytes", value.hex()]
    if isinstance(value, os.PathLike):
        return ["path", os.fspath(value)]
    if isinstance(value, tuple):
        return ["tuple", *(_write(item) for item in value)]
    identity = _identify(value)
    if identity is not None:
        return identity
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import Certificate as X509Certificate

    if not isinstance(value, X509Certificate):
        raise TypeError
    return ["certificate", value.fingerprint(SHA256()).hex()]
