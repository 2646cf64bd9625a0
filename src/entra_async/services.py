"""
The services a Session can connect to: six of Microsoft's, and those that are registered.

Sources:
    https://learn.microsoft.com/en-us/graph/use-the-api
    https://learn.microsoft.com/en-us/rest/api/azure
    https://learn.microsoft.com/en-us/rest/api/keyvault
    https://learn.microsoft.com/en-us/defender-endpoint/api/apis-intro
    https://learn.microsoft.com/en-us/defender-endpoint/api/get-machines ($top, $skip)
    https://learn.microsoft.com/en-us/defender-xdr/api-access
    https://learn.microsoft.com/en-us/defender-xdr/api-list-incidents ($top, $skip)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, final

from entra_async.clouds import Cloud
from entra_async.errors import ConfigurationError
from entra_async.rules.http.urls import check_service_url
from entra_async.rules.suggestions import did_you_mean
from entra_async.rules.tokens.scopes import default_scope

__all__ = ("Service", "Services", "not_connected")


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """
    A web API that accepts tokens of Entra ID.

    Attributes:
        name: The value of ``service=``, in any case.
        url: Its root, https. ``%NAME%`` stands for a parameter, such as a vault's name. Empty for a resource without
            requests, which only needs tokens.
        audience: Its Application ID URI: the audience of its tokens. A trailing slash is part of it.
        default_scopes: Delegated permissions to request when a user signs in; empty for all that were granted.
        headers: Sent with every request, unless the request has its own.
        query: Sent with every request, unless the request has its own.
        parameters: The parameters of the URL: name to description.
        raw_only: ``True`` if its responses are not JSON objects: requests return the ``Response``.
        batches: ``True`` if it supports ``$batch``, as Graph does.
        page_sizes: How many items a full page has, if pages have no link to the next one: that is requested with
            ``$skip`` then. Empty if a page without a link is the last.
        item_key: The property that identifies an item of a collection.
        help_url: Where it is documented.

    Raises:
        ConfigurationError: If the name is empty, the URL is not https, or the audience is missing.
    """

    name: str
    url: str
    audience: str
    default_scopes: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, str] = field(default_factory=dict)
    raw_only: bool = False
    batches: bool = False
    page_sizes: tuple[int, ...] = ()
    item_key: str = "id"
    help_url: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip():
            message = "The name of a service is empty."
            raise ConfigurationError(message, field="name", hint="Give it a name to use as service=.")
        if not isinstance(self.audience, str) or not self.audience.strip():
            message = f"The service {self.name!r} has no audience."
            hint = "Give its Application ID URI, the audience of its tokens, such as 'api://contoso-orders'."
            raise ConfigurationError(message, field="audience", hint=hint)
        for name in ("headers", "query", "parameters"):
            if not isinstance(getattr(self, name), Mapping):
                message = f"{name} of the service {self.name!r} is no mapping."
                raise ConfigurationError(message, field=name, hint="Give a dict, or leave it out.")
        if not isinstance(self.page_sizes, tuple) or any(type(size) is not int or size < 1 for size in self.page_sizes):
            message = f"page_sizes of the service {self.name!r} is {self.page_sizes!r}."
            raise ConfigurationError(message, field="page_sizes", hint="Give a tuple of numbers above zero.")
        if self.url:
            object.__setattr__(self, "url", check_service_url(self.url, field="service_url"))

    @property
    def scope(self) -> str:
        """The ``.default`` scope of this service: every permission granted there."""
        return default_scope(self.audience)


def _built_in(cloud: Cloud) -> Iterator[Service]:
    json = {"Content-Type": "application/json"}
    graph = cloud.graph
    graph_help = "https://learn.microsoft.com/en-us/graph/use-the-api"
    yield Service(name="Graph", url=f"{graph.url}/v1.0", audience=graph.audience, batches=True, help_url=graph_help)
    yield Service(name="GraphBeta", url=f"{graph.url}/beta", audience=graph.audience, batches=True, help_url=graph_help)
    yield Service(
        name="Azure",
        url=cloud.azure.url,
        audience=cloud.azure.audience,
        help_url="https://learn.microsoft.com/en-us/rest/api/azure",
    )
    yield Service(
        name="AzureKeyVault",
        url=cloud.key_vault.url,
        audience=cloud.key_vault.audience,
        query={"api-version": "7.4"},
        parameters={"VaultName": "Name of the Key Vault to call"} if "%" in cloud.key_vault.url else {},
        help_url="https://learn.microsoft.com/en-us/rest/api/keyvault",
    )
    if cloud.endpoint is not None:
        yield Service(
            name="Endpoint",
            url=cloud.endpoint.url,
            audience=cloud.endpoint.audience,
            headers=json,
            page_sizes=(8_000, 10_000),  # of vulnerabilities, and of most others
            help_url="https://learn.microsoft.com/en-us/defender-endpoint/api/apis-intro",
        )
    if cloud.security is not None:
        yield Service(
            name="Security",
            url=cloud.security.url,
            audience=cloud.security.audience,
            default_scopes=("AdvancedHunting.Read",),
            headers=json,
            page_sizes=(100,),
            item_key="incidentId",
            help_url="https://learn.microsoft.com/en-us/defender-xdr/api-access",
        )


@final
class Services(Mapping[str, Service]):
    """
    The services of one cloud, by name in any case: the built-in ones, and those registered.

    ``Graph`` (the default), ``GraphBeta``, ``Azure``, ``AzureKeyVault``, ``Endpoint`` and ``Security``
    (Defender for Endpoint and Defender XDR, where the cloud has them).

    Attributes:
        cloud: The cloud.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud: Final = cloud
        self._services = {service.name.lower(): service for service in _built_in(cloud)}

    def __getitem__(self, name: str) -> Service:
        """
        Return the service of that name.

        Raises:
            KeyError: If there is none, as of any mapping. :meth:`find` explains it.
        """
        return self._services[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return (service.name for service in self._services.values())

    def __len__(self) -> int:
        return len(self._services)

    def find(self, name: str) -> Service:
        """
        Return the service of that name, in any case.

        Raises:
            ConfigurationError: If there is none; the message lists those there are.
        """
        service = self._services.get(name.lower()) if isinstance(name, str) else None
        if service is None:
            message = f"There is no service {name!r} in the cloud {self.cloud.name!r}."
            otherwise = f"Use one of {', '.join(self)}, or add it with session.services.register()."
            hint = did_you_mean(str(name), self, otherwise=otherwise)
            raise ConfigurationError(message, field="service", hint=hint)
        return service

    def register(self, service: Service) -> Service:
        """
        Add a service and return it.

        Raises:
            ConfigurationError: If the name is taken: :meth:`replace` changes a service.
        """
        if service.name.lower() in self._services:
            message = f"There is a service {service.name!r} already."
            raise ConfigurationError(message, field="name", hint="Choose another name, or change it with replace().")
        self._services[service.name.lower()] = service
        return service

    def replace(self, name: str, **changes: Any) -> Service:
        """
        Change fields of a service and return the new one. Earlier connections keep the old one.

        Raises:
            ConfigurationError: If there is no such service or field, or a value does not fit.
        """
        old = self.find(name)
        unknown = sorted(set(changes) - set(Service.__dataclass_fields__))
        if unknown or changes.get("name", old.name).lower() != old.name.lower():
            changed = unknown[0] if unknown else "name"
            message = f"A service's {changed!r} cannot be replaced."
            hint = f"Change one of {', '.join(sorted(set(Service.__dataclass_fields__) - {'name'}))}."
            raise ConfigurationError(message, field=changed, hint=hint)
        self._services[old.name.lower()] = replace(old, **changes)
        return self._services[old.name.lower()]


def not_connected(name: object, *, connections: Iterable[str], services: Services) -> ConfigurationError:
    """Return the error for a name without a connection."""
    connected = ", ".join(connections) or "nothing"
    if isinstance(name, str) and name in services:
        message = f"{name!r} is not connected."
        hint = f"Call connect(…, service={name!r}) first. Connected: {connected}."
        return ConfigurationError(message, field="service", hint=hint)
    message = f"There is no connection or service {name!r}."
    otherwise = f"Connected: {connected}. The services are {', '.join(services)}."
    hint = did_you_mean(str(name), [*connections, *services], otherwise=otherwise)
    return ConfigurationError(message, field="service", hint=hint)
