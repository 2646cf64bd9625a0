"""Keywords as other libraries and tools spell them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from entra_async.rules.suggestions import closest

__all__ = ("SESSION_OPTIONS", "find_keyword")

# azure-identity, MSAL, msgraph-sdk, Azure CLI, Az and Microsoft.Graph for PowerShell, and the names of portals.
# A name as `_plain` leaves it: without case, hyphens and underscores.
_ALIASES: Final = MappingProxyType(
    {
        "accesstoken": "token",
        "aadtenant": "tenant_id",
        "app": "client_id",
        "appid": "client_id",
        "applicationid": "client_id",
        "appsecret": "client_secret",
        "audience": "resource",
        "authenticationurl": "authority",
        "authorityhost": "authority",
        "authorityurl": "authority",
        "authurl": "authority",
        "baseurl": "service_url",
        "bearer": "token",
        "cert": "certificate_path",
        "certfile": "certificate_path",
        "certificatefile": "certificate_path",
        "certificatesubject": "certificate_name",
        "certpath": "certificate_path",
        "certthumbprint": "certificate_thumbprint",
        "clientassertion": "assertion",
        "clientcredential": "client_secret",
        "credential": "provider",
        "credentials": "provider",
        "directoryid": "tenant_id",
        "endpoint": "service_url",
        "environment": "cloud",
        "idtoken": "assertion",
        "instance": "authority",
        "interactive": "browser",
        "key": "client_secret",
        "keyvault": "vault_name",
        "keyvaultname": "vault_name",
        "loginurl": "authority",
        "managedidentity": "identity",
        "managedidentityclientid": "identity_id",
        "msi": "identity",
        "nationalcloud": "cloud",
        "oidctoken": "assertion",
        "passphrase": "certificate_password",
        "pem": "certificate_path",
        "pfx": "certificate_path",
        "pfxpath": "certificate_path",
        "scope": "scopes",
        "secret": "client_secret",
        "subjectname": "certificate_name",
        "tenant": "tenant_id",
        "thumbprint": "certificate_thumbprint",
        "upn": "username",
        "url": "service_url",
        "useazurecli": "az_account",
        "usedeviceauthentication": "device_code",
        "usedevicecode": "device_code",
        "user": "username",
        "userprincipalname": "username",
        "vault": "vault_name",
        "vaulturl": "vault_name",
    }
)
SESSION_OPTIONS: Final = frozenset(
    {"clock", "limits", "listener", "proxy", "retry", "ssl", "store", "timeouts", "trust_env"}
)
"""What is given to the Session, not to ``connect``."""


def find_keyword(name: str, known: Iterable[str]) -> str | None:
    """
    Return the keyword that is meant by *name*, or ``None`` if none is like it.

    Args:
        name: What was given.
        known: What could have been given.

    Example:
        >>> find_keyword("authorityHost", ("authority", "tenant_id"))
        'authority'
    """
    names = {_plain(each): each for each in known}
    plain = _plain(name)
    if plain in names:
        return names[plain]
    meant = _ALIASES.get(plain)
    if meant in names.values():
        return meant
    found = closest(plain, names)
    return None if found is None else names[found]


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace("-", "")
