"""An Azure host with managed identities: a virtual machine, an app, an Arc machine and others."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from entra_async.testing.entra.app_registrations import App
    from entra_async.testing.entra.tokens.access_tokens import AccessTokenIssuer, IssuedToken

__all__ = ("AssignedIdentity", "AzureHost", "HostKind")

HostKind = Literal["imds", "app_service", "container_apps", "arc", "service_fabric", "azure_ml", "cloud_shell"]
"""What hands out tokens; also the name of the service in the record of requests and in faults."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AssignedIdentity:
    """
    A managed identity. Its app is its service principal: change the app's roles to change what it may do.

    Attributes:
        resource_id: Its id in Azure Resource Manager.
        app: The service principal.
    """

    resource_id: str
    app: App

    @property
    def client_id(self) -> str:
        """Its client id."""
        return self.app.client_id

    @property
    def principal_id(self) -> str:
        """The object id of its service principal."""
        return self.app.object_id


@dataclass(slots=True, kw_only=True)
class AzureHost:
    """
    A running host. Change it while it runs.

    Attributes:
        kind: What it is.
        tokens: What issues the tokens.
        system_assigned: Its own identity, or ``None`` if it has none.
        user_assigned: The identities assigned to it.
        environment: The environment variables of a process on it.
        secret: What a process proves to be on it with, where the host wants that.
        strict: Refuse a selector that the real host ignores; else ignore it, and issue a token for its own identity.
        key_folder: Arc: where the keys for its challenges lie.
        key_file: Arc: what is wrong with the key file it names: nothing (``"good"``), it lies in another folder, it is
            ``"too_large"``, ``"missing"``, has another suffix, or is a ``"link"`` to a file elsewhere.
        confirms_identity: Arc: whether the response names the identity, as agents do that know user-assigned ones.
        expiry: Azure ML: how it writes the time a token expires.
    """

    kind: HostKind
    tokens: AccessTokenIssuer
    system_assigned: AssignedIdentity | None
    user_assigned: list[AssignedIdentity]
    environment: Mapping[str, str] = field(default_factory=dict)
    secret: str = field(default_factory=lambda: secrets.token_hex(16), repr=False)
    strict: bool = True
    key_folder: Path = Path()
    key_file: Literal["good", "elsewhere", "too_large", "missing", "other_suffix", "link"] = "good"
    confirms_identity: bool = True
    expiry: Literal["epoch", "linux", "windows"] = "epoch"
    keys: dict[str, Path] = field(default_factory=dict, repr=False)
    issued_token_hashes: set[str] = field(default_factory=set, repr=False)

    def issue(self, identity: AssignedIdentity, resource: str) -> IssuedToken | None:
        """
        Return a token for an identity, or ``None`` if the tenant has no such resource.

        Args:
            identity: Whom for.
            resource: The resource, as it was requested.
        """
        found = self.tokens.tenant.find_resource(resource)
        if found is None:
            return None
        token = self.tokens.issue_app_token(
            identity.app,
            client_authentication="2",  # the platform holds a certificate for it
            audience=resource,
            roles=identity.app.roles & found.roles,
            requested_claims={},
        )
        self.issued_token_hashes.add(hashlib.sha256(token.access_token.encode()).hexdigest())
        return token
