"""Check application ids, tenant ids, secrets and authorities. Pure."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from entra_async.errors import ConfigurationError

__all__ = ("check_app_tenant_id", "check_authority", "check_client_id", "check_secret", "check_tenant_id")

_GUID: Final = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
# A registered domain name: labels of letters, digits and hyphens, at least one dot.
_DOMAIN: Final = re.compile(
    r"(?=.{4,253}$)([a-zA-Z0-9]([a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?\.)+[a-zA-Z][a-zA-Z0-9-]{0,61}[a-zA-Z0-9]"
)
# Microsoft Graph Command Line Tools and Azure PowerShell: public clients that every tenant knows.
_LABELS: Final = {
    "graph": "14d82eec-204b-4c2f-b7e8-296a70dab67e",
    "azure": "1950a258-227b-4e31-a9cf-717495945fc2",
}
_ALIASES: Final = frozenset({"common", "organizations", "consumers"})


def check_client_id(client_id: object) -> str:
    """
    Return *client_id* if it is a GUID; ``Graph`` and ``Azure``, in any case, stand for applications of Microsoft's.

    Raises:
        ConfigurationError: If it is not.
    """
    if isinstance(client_id, str) and client_id.lower() in _LABELS:
        return _LABELS[client_id.lower()]
    if not isinstance(client_id, str) or not _GUID.fullmatch(client_id):
        # It is not repeated: a secret may have been given in its place.
        message = "client_id is no GUID."
        hint = "Use the 'Application (client) ID' that the app registration's overview shows."
        raise ConfigurationError(message, field="client_id", hint=hint)
    return client_id


def check_tenant_id(tenant_id: object) -> str:
    """
    Return *tenant_id* if it is a GUID, a domain name, or one of ``common``, ``organizations`` and ``consumers``.

    Raises:
        ConfigurationError: If it is not.

    Source:
        https://learn.microsoft.com/en-us/entra/identity-platform/v2-protocols#endpoints
    """
    if isinstance(tenant_id, str) and (
        tenant_id in _ALIASES or _GUID.fullmatch(tenant_id) or _DOMAIN.fullmatch(tenant_id)
    ):
        return tenant_id
    message = "tenant_id is neither a GUID nor a domain name."
    hint = "Use the 'Directory (tenant) ID' of the app registration's overview, or a verified domain of the tenant."
    raise ConfigurationError(message, field="tenant_id", hint=hint)


def check_app_tenant_id(tenant_id: object) -> str:
    """
    Return *tenant_id* if an application can sign in to it as itself: a GUID or a domain name.

    Raises:
        ConfigurationError: If it is neither, or an alias such as ``common``, which names no tenant.
    """
    checked = check_tenant_id(tenant_id)
    if checked in _ALIASES:
        message = f"tenant_id is {checked!r}, but an application that signs in as itself needs one tenant."
        hint = "Use the tenant's GUID or one of its domains."
        raise ConfigurationError(message, field="tenant_id", hint=hint)
    return checked


def check_secret(value: object, *, field: str) -> str:
    """
    Return *value* if it is a text that is not empty. The message never repeats it.

    Raises:
        ConfigurationError: If it is not.
    """
    if not isinstance(value, str) or not value.strip():
        message = (
            f"{field} is empty."
            if isinstance(value, str | None)
            else f"{field} is a {type(value).__name__}, not a str."
        )
        raise ConfigurationError(message, field=field, hint=f"Give {field} as a text.")
    return value


def check_authority(authority: object) -> str:
    """
    Return *authority*, without a trailing slash, if it is the https URL of a sign-in service without a tenant.

    Raises:
        ConfigurationError: If it is not.
    """
    usable = False
    if isinstance(authority, str):
        try:
            parts = urlsplit(authority)
            usable = parts.scheme == "https" and bool(parts.hostname) and parts.port != 0 and parts.path in ("", "/")
            usable = usable and not (parts.query or parts.fragment or parts.username or parts.password)
        except ValueError:
            usable = False
    if not usable or not isinstance(authority, str):
        message = "authority is not the https URL of a sign-in service."
        hint = "Give scheme and host only, such as 'https://login.microsoftonline.com'; the tenant goes into tenant_id."
        raise ConfigurationError(message, field="authority", hint=hint)
    return authority.rstrip("/")
