"""
Compare a token with its request: tenant, application and audience. Pure.

What cannot be compared passes: a token may be opaque, and a false alarm would be an outage.

Sources:
    https://learn.microsoft.com/en-us/entra/identity-platform/access-token-claims-reference
    https://learn.microsoft.com/en-us/troubleshoot/entra/entra-id/governance/verify-first-party-apps-sign-in
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from entra_async.errors import TokenMismatchError

__all__ = ("ExpectedToken", "audience_of", "check_token")

_GUID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# One service under all the names that its tokens may carry. Version 2.0 tokens name the application's id.
_FAMILIES: Final = (
    (
        "00000003-0000-0000-c000-000000000000",
        "graph.microsoft.com",
        "graph.microsoft.us",
        "dod-graph.microsoft.us",
        "microsoftgraph.chinacloudapi.cn",
    ),
    (
        "797f4846-ba00-4fd7-ba43-dac1f8f63013",
        "management.azure.com",
        "management.core.windows.net",
        "management.usgovcloudapi.net",
        "management.core.usgovcloudapi.net",
        "management.chinacloudapi.cn",
        "management.core.chinacloudapi.cn",
    ),
    (
        "cfa8b339-82a2-471a-a3c9-0fc0be7a4093",
        "vault.azure.net",
        "vault.usgovcloudapi.net",
        "vault.azure.cn",
    ),
    (
        "fc780465-2017-40d4-a0c5-307022471b92",
        "api.securitycenter.microsoft.com",
        "api.securitycenter.windows.com",
        "api-gcc.securitycenter.microsoft.us",
        "api-gov.securitycenter.microsoft.us",
        "securitycenter.onmicrosoft.com",
    ),
    (
        "8ee8fdad-f234-4243-8f3b-15c294843740",
        "api.security.microsoft.com",
        "api-gcc.security.microsoft.us",
        "api-gov.security.microsoft.us",
    ),
)
_FAMILY: Final = {name: family[0] for family in _FAMILIES for name in family}
_GRAPH: Final = "https://graph.microsoft.com"
_UNQUALIFIED: Final = re.compile(r"[A-Za-z][\w.-]*")
_LONGEST: Final = 100
_OPENID: Final = frozenset({"openid", "profile", "email", "offline_access"})
_SCHEMES: Final = ("https", "http")


class ExpectedToken(NamedTuple):
    """
    The expected claims of a token; ``None`` for what does not matter or is not known.

    Attributes:
        tenant_id: Compared if it is a GUID: a domain's name, or ``common``, is not compared.
        client_id: The application.
        audience: The resource, as :func:`audience_of` gives it.
    """

    tenant_id: str | None = None
    client_id: str | None = None
    audience: str | None = None


def audience_of(scopes: Sequence[str]) -> str | None:
    """
    Return the resource that scopes belong to, or ``None`` if they do not say, or not all the same.

    Those without a resource are Microsoft Graph's.

    Example:
        >>> audience_of(["https://graph.microsoft.com/.default"])
        'https://graph.microsoft.com'

    Source:
        https://learn.microsoft.com/en-us/entra/identity-platform/scopes-oidc
    """
    resources = {scope.rpartition("/")[0] for scope in scopes if scope not in _OPENID}
    if resources == {""} and all(_UNQUALIFIED.fullmatch(scope) for scope in scopes):
        return _GRAPH
    resource = resources.pop() if len(resources) == 1 else ""
    return resource if _identify(resource) is not None else None


def check_token(claims: Mapping[str, Any], expected: ExpectedToken) -> None:
    """
    Check the claims of a readable token.

    Args:
        claims: Of the token, unverified; empty if it is opaque.
        expected: What was requested.

    Raises:
        TokenMismatchError: If they differ. The message holds both values, and nothing of the token itself.
    """
    tenant_id = _guid(expected.tenant_id)
    _compare("tenant", tenant_id, _guid(claims.get("tid")))
    _compare("application", _guid(expected.client_id), _guid(claims.get("appid") or claims.get("azp")))
    wanted, audience = _identify(expected.audience), claims.get("aud")
    if wanted is None or audience is None:
        return
    # Several are for several services: one of them may be anybody's.
    got = _identify(audience) or ("text", "several" if isinstance(audience, list) else str(audience)[:_LONGEST])
    # All names of Microsoft's own services are known; of others, an application's id and a URL may be two names of one.
    # In a cloud that is not known here, one of Microsoft's services has another URL but the same id.
    if wanted[0] == "url" and _guid(audience) is not None:
        return
    if wanted[0] == got[0] or "service" in (wanted[0], got[0]):
        _compare("service", wanted[1], got[1])


def _compare(what: str, wanted: str | None, got: str | None) -> None:
    if wanted is None or got is None or wanted == got:
        return
    message = f"The token is for the {what} {got!r}, but {wanted!r} was requested; it was discarded."
    hint = "Check the responses of the token source, the token store and the proxy: one of them mixed up tokens."
    raise TokenMismatchError(message, hint=hint)


def _guid(value: object) -> str | None:
    text = value.strip().lower() if isinstance(value, str) else ""
    return text if _GUID.fullmatch(text) else None


def _identify(audience: object) -> tuple[str, str] | None:
    # The kind of name, and the name: names are compared with their like only.
    if not isinstance(audience, str):
        return None
    text = audience.strip().lower()
    guid = _guid(text.removeprefix("api://").removeprefix("spn:"))
    if guid is not None:
        return "service" if guid in _FAMILY else "id", guid
    if text.startswith("api://"):
        return "api", text.rstrip("/")
    try:
        parts = urlsplit(text)
        host = parts.hostname
    except ValueError:
        return None
    if parts.scheme not in _SCHEMES or not host:
        return None
    if host in _FAMILY:
        return "service", _FAMILY[host]
    return "url", f"{host}{parts.path.rstrip('/')}"
