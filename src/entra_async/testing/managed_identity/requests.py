"""
Reading a request for the token of a managed identity, as strictly as Azure's hosts do.

Source:
    https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/how-to-use-vm-token
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from entra_async.testing.wire.service_error import ServiceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

    from entra_async.testing.managed_identity.host import AssignedIdentity, AzureHost

__all__ = (
    "SELECTORS",
    "HostError",
    "choose_identity",
    "read_parameters",
    "require_metadata",
    "require_method",
    "require_version",
)

SELECTORS: Final = frozenset(
    {"client_id", "clientid", "object_id", "principal_id", "resource_id", "msi_res_id", "mi_res_id"}
)
"""The parameters that choose one of several identities, by any host."""


class HostError(ServiceError):
    """An error response of a host, before it takes the format of that host."""


def read_parameters(request: web.Request, *, known: frozenset[str] | set[str]) -> dict[str, str]:
    """
    Return the query parameters.

    Raises:
        HostError: 400 if one is given twice, or is neither known nor chooses an identity.
    """
    pairs = parse_qsl(request.query_string, keep_blank_values=True)
    given = dict(pairs)
    if len(given) < len(pairs):
        raise HostError(400, "invalid_request", "A parameter was given twice.")
    if unknown := given.keys() - known - SELECTORS:
        raise HostError(400, "invalid_request", f"Unknown parameter {min(unknown)!r}.")
    return given


def require_method(request: web.Request, method: str) -> None:
    """
    Check the method.

    Raises:
        HostError: 405 if it is another one.
    """
    if request.method != method:
        raise HostError(405, "invalid_request", f"Only {method} is served here.")


def require_version(given: Mapping[str, str], version: str, *, code: str = "invalid_request") -> None:
    """
    Check the ``api-version``.

    Raises:
        HostError: 400 if it is another one.
    """
    if given.get("api-version") != version:
        raise HostError(400, code, f"The api-version must be {version}.")


def require_metadata(request: web.Request) -> None:
    """
    Check the ``Metadata`` header, and that the request was not forwarded.

    Raises:
        HostError: 400 if the header is missing, or a proxy has added one.
    """
    if request.headers.getall("Metadata", []) != ["true"]:
        raise HostError(400, "invalid_request", "Required metadata header not specified")
    if "X-Forwarded-For" in request.headers:
        raise HostError(400, "invalid_request", "A request that was forwarded is not served.")


def choose_identity(
    host: AzureHost, given: Mapping[str, str], selectors: Mapping[str, str], *, default_to_only: bool
) -> AssignedIdentity:
    """
    Return the identity a request is about.

    Args:
        host: Where.
        given: The parameters.
        selectors: The parameters that choose one here, and what of it they name.
        default_to_only: Whether an only user-assigned identity is the default, if the host has none of its own.

    Raises:
        HostError: 400 if there is no such identity, or it is not clear which one is meant.
    """
    chosen_by = {name: value for name, value in given.items() if name in SELECTORS}
    if host.strict and (ignored := chosen_by.keys() - selectors.keys()):
        raise HostError(400, "invalid_request", f"{min(ignored)} chooses nothing here; the real host ignores it.")
    wanted = [(selectors[name], value) for name, value in chosen_by.items() if name in selectors]
    if len(wanted) > 1:
        raise HostError(400, "invalid_request", "More than one identity was requested.")
    if wanted:
        (attribute, value), *_ = wanted
        # A virtual machine's own identity can be named, too.
        known = [*host.user_assigned, *([host.system_assigned] if host.system_assigned else [])]
        for identity in known:
            if str(getattr(identity, attribute)).lower() == value.lower():
                return identity
        raise HostError(400, "invalid_request", "Identity not found")
    if host.system_assigned is not None:
        return host.system_assigned
    if default_to_only and len(host.user_assigned) == 1:
        return host.user_assigned[0]
    if default_to_only and host.user_assigned:
        text = "Multiple user assigned identities exist, please specify the clientId / resourceId of the identity"
        raise HostError(400, "invalid_request", f"{text} in the token request")
    raise HostError(400, "invalid_request", "Identity not found")
