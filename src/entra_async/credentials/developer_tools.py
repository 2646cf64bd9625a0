"""
Sign in with the account of a developer tool: Azure CLI, Azure Developer CLI, Azure PowerShell.

The tool runs anew for every token; it stores its own sign-in and renews it. azure-identity has such credentials, too,
but they leave the tool running when they are cancelled, read azd's UTC times as local ones, and allow PowerShell ten
seconds whatever the parameter says.

Sources:
    https://learn.microsoft.com/en-us/cli/azure/account#az-account-get-access-token
    https://learn.microsoft.com/en-us/azure/developer/azure-developer-cli/reference#azd-auth-token
    https://learn.microsoft.com/en-us/powershell/module/az.accounts/get-azaccesstoken
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.developer_tool import AZD, AZURE_CLI, AZURE_POWERSHELL, ToolSource
from entra_async.errors import ConfigurationError
from entra_async.rules.sign_in.identifiers import check_app_tenant_id
from entra_async.tokens.source import TokenSource

__all__ = ("AzureCli", "AzureDeveloperCli", "AzurePowerShell")

_SUBSCRIPTION: Final = re.compile(r"\w[\w .-]{0,127}")


def _check(tenant_id: str | None, timeout_s: float) -> None:
    if tenant_id is not None:
        check_app_tenant_id(tenant_id)
    if not isinstance(timeout_s, int | float) or not timeout_s > 0:
        message = f"timeout_s is {timeout_s!r}."
        raise ConfigurationError(message, field="timeout_s", hint="Give a number greater than zero.")


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureCli:
    """
    The account signed in to the Azure CLI (``az login``).

    Attributes:
        tenant_id: Another tenant than that of the current subscription.
        subscription: Id or name of another subscription than the current one: its account and tenant are used.
        timeout_s: Seconds that ``az`` may take; then it is killed.

    Raises:
        ConfigurationError: If a value is malformed, or both tenant and subscription are given, which ``az`` refuses.
    """

    tenant_id: str | None = None
    subscription: str | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        _check(self.tenant_id, self.timeout_s)
        if self.subscription is None:
            return
        if not isinstance(self.subscription, str) or not _SUBSCRIPTION.fullmatch(self.subscription):
            message = f"subscription is {self.subscription!r}, which is neither an id nor a name."
            raise ConfigurationError(message, field="subscription", hint="'az account list' shows them.")
        if self.tenant_id is not None:
            message = "AzureCli got tenant_id and subscription."
            hint = "Give one: a subscription belongs to one tenant."
            raise ConfigurationError(message, field="subscription", hint=hint)

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return ToolSource(context, AZURE_CLI, self.tenant_id, self.timeout_s, subscription=self.subscription)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzureDeveloperCli:
    """
    The account signed in to the Azure Developer CLI (``azd auth login``).

    Attributes:
        tenant_id: Another tenant than the one signed in to.
        timeout_s: Seconds that ``azd`` may take; then it is killed.

    Raises:
        ConfigurationError: If a value is malformed.
    """

    tenant_id: str | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        _check(self.tenant_id, self.timeout_s)

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return ToolSource(context, AZD, self.tenant_id, self.timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class AzurePowerShell:
    """
    The account signed in to Azure PowerShell (``Connect-AzAccount``), module ``Az.Accounts`` 2.2.0 or newer.

    Attributes:
        tenant_id: Another tenant than that of the current context.
        timeout_s: Seconds that PowerShell may take; then it is killed.

    Raises:
        ConfigurationError: If a value is malformed.
    """

    tenant_id: str | None = None
    timeout_s: float = 30.0

    def __post_init__(self) -> None:
        _check(self.tenant_id, self.timeout_s)

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        return ToolSource(context, AZURE_POWERSHELL, self.tenant_id, self.timeout_s)
