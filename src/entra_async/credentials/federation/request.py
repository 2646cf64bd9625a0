"""The request for an assertion of an environment."""

from __future__ import annotations

from dataclasses import dataclass, field

from entra_async.credentials.provider import SignInContext

__all__ = ("FederationRequest",)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationRequest:
    """
    A request for an assertion.

    Attributes:
        audience: The audience it must have (``aud``): the cloud's own, such as ``api://AzureADTokenExchange``.
        client_id: The application that signs in with it.
        tenant_id: Where it signs in.
        detecting: Whether other environments are tried after this one, so that one that is absent must fail at once.
        context: What the Session provides: its pool of connections, its clock, its cloud.
    """

    audience: str
    client_id: str
    tenant_id: str
    detecting: bool
    context: SignInContext = field(repr=False)
