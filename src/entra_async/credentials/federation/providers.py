"""
Where assertions of another issuer come from: a registry of environments, tried in the order of their priority.

Source:
    https://learn.microsoft.com/en-us/entra/workload-id/workload-identity-federation
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

from entra_async.credentials.federation.environments import (
    get_azure_pipelines_assertion,
    get_github_actions_assertion,
    get_managed_identity_assertion,
    read_workload_identity_assertion,
)
from entra_async.credentials.federation.request import FederationRequest
from entra_async.credentials.interactive.callback import call
from entra_async.errors import ConfigurationError, CredentialUnavailableError
from entra_async.rules.suggestions import did_you_mean

__all__ = (
    "FederationProvider",
    "federation_providers",
    "find_federation_provider",
    "register_federation_provider",
    "request_assertion",
    "unregister_federation_provider",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FederationProvider:
    """
    An environment that issues assertions to the workloads it runs.

    Attributes:
        name: What ``Federated(provider=…)`` takes, in any case.
        assertion: Returns an assertion, or ``None`` (or raises a :class:`CredentialUnavailableError`) if the program
            does not run there. Called for every token request; a plain function or a coroutine function.
        needs: What it requires to work, in a sentence; shown where no environment is found.
        priority: The lowest is tried first.
        timeout_s: Seconds that one assertion may take.

    Raises:
        ConfigurationError: If the name is empty, or *assertion* cannot be called.
    """

    name: str
    assertion: Callable[[FederationRequest], str | Awaitable[str | None] | None] = field(repr=False)
    needs: str = ""
    priority: int = 50
    timeout_s: float = 60.0

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or self.name.lower() == "auto":
            message = f"The name of a federation provider is {self.name!r}."
            raise ConfigurationError(message, field="name", hint="Give it a name to use as provider=.")
        if not callable(self.assertion) or isinstance(self.assertion, type):
            message = f"assertion is a {type(self.assertion).__name__}, which cannot be called."
            raise ConfigurationError(message, field="assertion", hint="Give a function of one parameter, the request.")


_PROVIDERS: Final[dict[str, FederationProvider]] = {
    provider.name: provider
    for provider in (
        FederationProvider(
            name="github_actions",
            assertion=get_github_actions_assertion,
            needs="A job of GitHub Actions needs 'permissions: id-token: write'.",
            priority=10,
        ),
        FederationProvider(
            name="azure_pipelines",
            assertion=get_azure_pipelines_assertion,
            needs=(
                "A task of Azure Pipelines needs an Azure service connection and "
                "'env: SYSTEM_ACCESSTOKEN: $(System.AccessToken)'."
            ),
            priority=12,
        ),
        FederationProvider(
            name="workload_identity",
            assertion=read_workload_identity_assertion,
            needs="A pod needs the label azure.workload.identity/use and AZURE_FEDERATED_TOKEN_FILE.",
            priority=15,
        ),
        FederationProvider(
            name="managed_identity",
            assertion=get_managed_identity_assertion,
            needs="An Azure host needs a managed identity.",
            priority=20,
            timeout_s=130.0,
        ),
    )
}


def federation_providers() -> tuple[FederationProvider, ...]:
    """Return the registered providers in the order they are tried."""
    return tuple(sorted(_PROVIDERS.values(), key=lambda provider: provider.priority))


def register_federation_provider(provider: FederationProvider, *, replace: bool = False) -> FederationProvider:
    """
    Add an environment of one's own, for the whole process, and return it.

    Args:
        provider: What to add.
        replace: Whether it may take the place of one of the same name.

    Raises:
        ConfigurationError: If the name is taken.
    """
    name = provider.name.lower()
    if name in _PROVIDERS and not replace:
        message = f"There is a federation provider {provider.name!r} already."
        raise ConfigurationError(message, field="name", hint="Choose another name, or say replace=True.")
    _PROVIDERS[name] = provider
    return provider


def unregister_federation_provider(name: str) -> None:
    """
    Remove an environment from the registry.

    Raises:
        ConfigurationError: If there is none of that name.
    """
    del _PROVIDERS[find_federation_provider(name).name.lower()]


def find_federation_provider(name: object) -> FederationProvider:
    """
    Return the provider of that name, in any case.

    Raises:
        ConfigurationError: If there is none.
    """
    found = _PROVIDERS.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        message = f"There is no federation provider {name!r}."
        known = ["auto", *(provider.name for provider in federation_providers())]
        otherwise = f"Use one of {', '.join(known)}, or add it with register_federation_provider()."
        hint = did_you_mean(str(name), known, otherwise=otherwise)
        raise ConfigurationError(message, field="provider", hint=hint)
    return found


async def request_assertion(name: str, request: FederationRequest) -> str:
    """
    Return an assertion of the named environment, or of the first one that the program runs in.

    Args:
        name: Of a provider, or ``"auto"``.
        request: What it is for.

    Raises:
        CredentialUnavailableError: If the program does not run there, or in none of them.
        AuthenticationError: If the environment refuses, or cannot be reached.
    """
    candidates = federation_providers() if name.lower() == "auto" else (find_federation_provider(name),)
    unavailable: list[str] = []
    for provider in candidates:
        what = f"The federation provider {provider.name!r}"
        try:
            assertion = await call(provider.assertion, request, what=what, within_s=provider.timeout_s)
        except CredentialUnavailableError as error:
            if len(candidates) == 1:
                raise
            unavailable.append(f"{provider.name}: {error.args[0]}")
            continue
        if assertion is not None:
            return _check(assertion, what)
    names = ", ".join(provider.name for provider in candidates)
    message = f"The program does not run in an environment that issues assertions; looked for: {names}."
    if unavailable:
        message = f"{message} {' '.join(unavailable)}"
    needs = " ".join(provider.needs for provider in candidates if provider.needs)
    raise CredentialUnavailableError(message, hint=needs or "Give assertion=.")


def _check(assertion: object, what: str) -> str:
    if not isinstance(assertion, str):
        message = f"{what} returned a {type(assertion).__name__}."
        raise CredentialUnavailableError(message, hint="It must return the assertion as str, or None.")
    return assertion
