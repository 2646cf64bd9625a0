"""Sign in as the managed identity of the Azure host that the program runs on."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from typing import Final

import anyio

from entra_async.credentials.developer_tools import AzureCli
from entra_async.credentials.federation.assertion_file import read_assertion_file
from entra_async.credentials.provider import SignInContext
from entra_async.credentials.sources.application import AppTokenSource
from entra_async.credentials.sources.identity_endpoint import IdentityEndpoint
from entra_async.errors import ConfigurationError, CredentialUnavailableError
from entra_async.rules.sign_in.identifiers import check_app_tenant_id, check_authority, check_client_id
from entra_async.rules.sign_in.managed_identity import WorkloadIdentity, find_host
from entra_async.tokens.source import TokenSource
from entra_async.tokens.token import Token

__all__ = ("ManagedIdentity",)

_TYPES: Final = {
    "client_id": "client_id",
    "resource_id": "resource_id",
    "principal_id": "principal_id",
    # As the PowerShell command spells them.
    "clientid": "client_id",
    "resourceid": "resource_id",
    "principalid": "principal_id",
}
_TOKEN_FILE_HINT: Final = (
    "The platform mounts it and sets AZURE_FEDERATED_TOKEN_FILE: check the pod's label and service account."
)
_RESOURCE_ID: Final = re.compile(
    r"/subscriptions/[0-9a-f-]{36}/resourcegroups/[^/?#\s]{1,90}"
    r"/providers/microsoft\.managedidentity/userassignedidentities/[\w-]{3,128}",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagedIdentity:
    """
    The identity that Azure assigns to a virtual machine, an app, a container, a pod or an Arc machine.

    The kind of host is detected by environment variables when the provider is first used: Service Fabric, App Service
    (also Functions, Container Apps, Automation), Azure Arc, Azure Machine Learning, Cloud Shell, workload identity, and
    else a virtual machine.

    Attributes:
        identity_id: A user-assigned identity; ``None`` for the host's own.
        identity_type: What *identity_id* is: ``client_id``, ``resource_id`` or ``principal_id`` (its object id).
            ``ClientID``, ``ResourceID`` and ``PrincipalID`` mean the same.
        fall_back_to_azure_cli: Where there is no managed identity, use the Azure CLI's sign-in; for programs that run
            in Azure and on the developer's own machine. Whichever of the two issues the first token stays.
        timeout_s: Seconds that one token request may take in all. A host that is being updated needs up to 70.

    Raises:
        ConfigurationError: If a value is malformed; or, when connecting, if the host cannot choose an identity by it.

    Sources:
        https://learn.microsoft.com/en-us/entra/identity/managed-identities-azure-resources/overview
    """

    identity_id: str | None = None
    identity_type: str = "client_id"
    fall_back_to_azure_cli: bool = False
    timeout_s: float = 120.0

    def __post_init__(self) -> None:
        kind = _TYPES.get(self.identity_type.lower()) if isinstance(self.identity_type, str) else None
        if kind is None:
            message = f"identity_type is {self.identity_type!r}."
            hint = "Give 'client_id', 'resource_id' or 'principal_id'."
            raise ConfigurationError(message, field="identity_type", hint=hint)
        object.__setattr__(self, "identity_type", kind)
        if self.identity_id is not None:
            _check_identity_id(self.identity_id, kind)
        if not isinstance(self.timeout_s, int | float) or not self.timeout_s > 0:
            message = f"timeout_s is {self.timeout_s!r}."
            raise ConfigurationError(message, field="timeout_s", hint="Give a number greater than zero.")

    def open(self, context: SignInContext) -> TokenSource:
        """Return the token source; the Session calls this."""
        fall_back = AzureCli().open(context) if self.fall_back_to_azure_cli else None
        try:
            source = self._open(context)
        except CredentialUnavailableError:
            if fall_back is None:
                raise
            return fall_back
        return source if fall_back is None else _FirstAvailable(source, fall_back)

    def _open(self, context: SignInContext) -> TokenSource:
        host = find_host(os.environ)
        if isinstance(host, WorkloadIdentity):
            return self._open_workload(host, context)
        host.select(self.identity_id, self.identity_type)  # refuses what it would pass over
        return IdentityEndpoint(
            context, host, self.identity_id, self.identity_type, self.timeout_s, in_chain=self.fall_back_to_azure_cli
        )

    def _open_workload(self, host: WorkloadIdentity, context: SignInContext) -> TokenSource:
        if self.identity_id is not None and self.identity_type != "client_id":
            message = f"A workload identity is not found by {self.identity_type}."
            raise ConfigurationError(message, field="identity_type", hint="Choose it by client_id.")
        client_id = self.identity_id or host.client_id
        if client_id is None:
            message = "There is a workload identity (AZURE_FEDERATED_TOKEN_FILE), but AZURE_CLIENT_ID is not set."
            raise ConfigurationError(message, field="identity_id", hint="Name the identity with identity_id.")
        authority = check_authority(host.authority) if host.authority else context.authority

        return _WorkloadSource(
            replace(context, authority=authority),
            check_client_id(client_id),
            check_app_tenant_id(host.tenant_id),
            host.token_file,
            self.timeout_s,
        )


def _check_identity_id(identity_id: object, kind: str) -> None:
    if kind == "resource_id":
        if isinstance(identity_id, str) and _RESOURCE_ID.fullmatch(identity_id):
            return
        message = f"identity_id is {identity_id!r}, which is not the resource id of a user-assigned identity."
        hint = (
            "It reads /subscriptions/…/resourceGroups/…/providers/Microsoft.ManagedIdentity/userAssignedIdentities/…:"
            " see the identity's properties."
        )
        raise ConfigurationError(message, field="identity_id", hint=hint)
    try:
        check_client_id(identity_id)
    except ConfigurationError:
        message = f"identity_id is {identity_id!r}, which is no GUID."
        name = "Client ID" if kind == "client_id" else "Object (principal) ID"
        hint = f"Use the {name} that the identity's overview shows, or set identity_type."
        raise ConfigurationError(message, field="identity_id", hint=hint) from None


@dataclass(frozen=True, slots=True)
class _WorkloadSource:
    """The token source of a workload identity: its assertion is read from the file anew for every token."""

    context: SignInContext
    client_id: str
    tenant_id: str
    token_file: str
    timeout_s: float

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token; see :class:`entra_async.tokens.source.TokenSource`."""
        with anyio.move_on_after(self.timeout_s):
            assertion = await read_assertion_file(self.token_file, hint=_TOKEN_FILE_HINT)
            source = AppTokenSource(
                self.context, self.client_id, self.tenant_id, lambda _: {"client_assertion": lambda: assertion}
            )
            return await source.get_token(*scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae)
        message = f"The workload identity gave no token within {self.timeout_s:g} s."
        raise CredentialUnavailableError(message, hint="Check the pod's label and service account, or raise timeout_s.")

    async def aclose(self) -> None:
        """Do nothing: it holds no resources."""


class _FirstAvailable:
    """Two token sources, of which the first that returns a token stays: the account of a program must not change."""

    def __init__(self, first: TokenSource, second: TokenSource) -> None:
        self._all = (first, second)
        self._sources: tuple[TokenSource, ...] = self._all

    async def get_token(
        self, *scopes: str, claims: str | None = None, tenant_id: str | None = None, enable_cae: bool = False
    ) -> Token:
        """Request a token; see :class:`entra_async.tokens.source.TokenSource`."""
        missing: list[CredentialUnavailableError] = []
        for source in self._sources:
            try:
                token = await source.get_token(*scopes, claims=claims, tenant_id=tenant_id, enable_cae=enable_cae)
            except CredentialUnavailableError as error:
                missing.append(error)
            else:
                self._sources = (source,)
                return token
        if len(missing) == 1:
            raise missing[0]
        message = f"Neither way to sign in exists here. {' '.join(str(error.args[0]) for error in missing)}"
        raise CredentialUnavailableError(message, hint=missing[-1].hint) from missing[0]

    async def aclose(self) -> None:
        """Close both."""
        for source in self._all:
            await source.aclose()
