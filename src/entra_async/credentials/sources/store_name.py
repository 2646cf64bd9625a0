"""The name of who signs in, the same in every process: what is kept in a token store is kept under it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
from typing import Any, Final

__all__ = ("stored_as",)

_PACKAGE: Final = "entra_async.credentials."
# What tells one who signs in from another, for each provider whose tokens may be shared. How the person is asked, and
# how long that may take, tells nothing; of a federation only its outcome counts, which is the application.
_TELLING: Final = {
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

_ASKING: Final = ("login", "select_account", "consent")


def stored_as(provider: object, authority: str) -> str | None:
    """
    Return a text that stands for who signs in, without any secret; ``None`` if tokens of the provider are not shared.

    Not shared are those that others keep already (Azure CLI and its like), that are given as they are, that come from
    code, and those of a person who is to be asked each time (``prompt=``).

    Args:
        provider: How to sign in.
        authority: Root of the sign-in service.
    """
    if getattr(provider, "prompt", None) in _ASKING or getattr(provider, "fall_back_to_azure_cli", False):
        return None
    try:
        telling = _tell(provider)
    except TypeError:  # it will be refused when it is used
        return None
    if telling is None:
        return None
    # A managed identity is the machine's own, whatever else is alike.
    machine = platform.node() if type(provider).__name__ == "ManagedIdentity" else ""
    text = json.dumps([authority, machine, telling])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _tell(provider: object) -> list[Any] | None:
    kind = type(provider)
    fields = _TELLING.get(kind.__name__) if kind.__module__.startswith(_PACKAGE) else None
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
    telling = _tell(value)
    if telling is not None:
        return telling
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import Certificate as X509Certificate

    if not isinstance(value, X509Certificate):
        raise TypeError
    return ["certificate", value.fingerprint(SHA256()).hex()]
