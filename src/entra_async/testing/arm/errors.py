"""
The errors of Azure Resource Manager.

Sources:
    https://github.com/cloud-and-ai-microsoft/resource-provider-contract/blob/master/v1.0/common-api-details.md
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/troubleshooting/common-deployment-errors
    https://learn.microsoft.com/en-us/azure/azure-resource-manager/management/request-limits-and-throttling
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from entra_async.testing.wire.service_error import ServiceError

if TYPE_CHECKING:
    from collections.abc import Collection

    from entra_async.testing.entra.tokens.access import Unauthorized

__all__ = (
    "ArmError",
    "forbidden",
    "group_not_found",
    "invalid_api_version",
    "no_registered_provider",
    "resource_not_found",
    "throttled",
    "unauthorized",
)

_KINDS: Final = {"reads": "read", "writes": "write", "deletes": "delete"}
# From the beginning of what the token's verifier says to ARM's code.
_TOKEN_CODES: Final = (
    ("Access token is empty", "AuthenticationFailed"),
    ("Access token has expired", "ExpiredAuthenticationToken"),
    ("Access token validation failure. Invalid audience", "InvalidAuthenticationTokenAudience"),
    ("Access token validation failure. Invalid tenant", "InvalidAuthenticationTokenTenant"),
)


class ArmError(ServiceError):
    """An error response of Azure Resource Manager."""

    @property
    def body(self) -> dict[str, Any]:
        """The JSON of the response, before it is encoded."""
        return {"error": {"code": self.code, "message": self.message}}


def unauthorized(reason: Unauthorized, tenant_id: str) -> ArmError:
    """Return the 401 for a token that is missing or no good; its challenge names the tenant to sign in to."""
    code = next(
        (code for start, code in _TOKEN_CODES if reason.message.startswith(start)), "InvalidAuthenticationToken"
    )
    uri = f"https://login.windows.net/{tenant_id}"
    challenge = f'Bearer authorization_uri="{uri}", error="invalid_token", error_description="{reason.message}"'
    message = f"Authentication failed. {reason.message}"
    return ArmError(401, code, message, headers={"WWW-Authenticate": challenge})


def forbidden(*, client_id: str, object_id: str, action: str, scope: str) -> ArmError:
    """Return the 403 for a principal without a role that allows *action* at *scope*."""
    message = (
        f"The client '{client_id}' with object id '{object_id}' does not have authorization to perform action "
        f"'{action}' over scope '{scope}' or the scope is invalid. If access was recently granted, please refresh your "
        "credentials."
    )
    return ArmError(403, "AuthorizationFailed", message)


def invalid_api_version(version: str, supported: Collection[str]) -> ArmError:
    """Return the 400 for a version that subscriptions or resource groups never had."""
    message = f"The api-version '{version}' is invalid. The supported versions are '{','.join(sorted(supported))}'."
    return ArmError(400, "InvalidApiVersionParameter", message)


def no_registered_provider(version: str, resource_type: str, supported: Collection[str], location: str) -> ArmError:
    """Return the 400 for a version that a resource provider does not serve."""
    message = (
        f"No registered resource provider found for location '{location}' and API version '{version}' for type "
        f"'{resource_type}'. The supported api-versions are '{', '.join(sorted(supported))}'."
    )
    return ArmError(400, "NoRegisteredProviderFound", message)


def group_not_found(name: str) -> ArmError:
    """Return the 404 for a resource group that does not exist."""
    return ArmError(404, "ResourceGroupNotFound", f"Resource group '{name}' could not be found.")


def resource_not_found(resource_type: str, name: str, *, group: str) -> ArmError:
    """Return the 404 for a resource that does not exist."""
    message = (
        f"The Resource '{resource_type}/{name}' under resource group '{group}' was not found. "
        "For more details please go to https://aka.ms/ARMResourceNotFoundFix"
    )
    return ArmError(404, "ResourceNotFound", message)


def throttled(retry_after: str | None, *, kind: str, subscription_id: str | None, object_id: str) -> ArmError:
    """
    Return the 429.

    Args:
        retry_after: The header's value, ``None`` to leave it out.
        kind: ``"reads"``, ``"writes"`` or ``"deletes"``.
        subscription_id: Whose limit it is; ``None`` for the tenant's.
        object_id: The caller.
    """
    of = f"subscription '{subscription_id}'" if subscription_id else "tenant"
    wait = f" after '{retry_after}' seconds" if retry_after is not None else ""
    message = (
        f"Number of '{_KINDS[kind]}' requests for {of} actor '{object_id}' exceeded. Please try again{wait} after "
        "additional tokens are available. Refer to https://aka.ms/arm-throttling for additional information."
    )
    code = "SubscriptionRequestsThrottled" if subscription_id else "TenantRequestsThrottled"
    return ArmError(429, code, message, headers={} if retry_after is None else {"Retry-After": retry_after})
