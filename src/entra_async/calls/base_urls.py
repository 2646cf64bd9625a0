"""The base URLs of the connections that ``connect`` makes: its arguments are checked here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from entra_async.calls.prepare import BaseURL
from entra_async.clouds import Cloud
from entra_async.errors import ConfigurationError
from entra_async.rules.http.urls import check_service_url
from entra_async.services import Service, Services

__all__ = ("choose_base_urls",)


def choose_base_urls(
    services: Services,
    *,
    cloud: Cloud,
    default: str,
    service: object,
    service_url: str | None,
    resource: str | None,
    parameters: Mapping[str, str] | None,
    name: str | None,
) -> list[BaseURL]:
    """
    Return a base URL for each service, or one for the resource.

    Args:
        services: The Session's.
        cloud: The cloud to connect to; another than the Session's brings its own built-in services.
        default: The service meant where none is named.
        service: A name, a list of names, or ``None``.
        service_url: Another root than the service's own.
        resource: The Application ID URI of what is no service.
        parameters: Values for the parameters of the URL.
        name: What the connection is to be called.

    Raises:
        ConfigurationError: If one of them is malformed, unknown, or does not fit the rest.
    """
    if service_url is not None:
        check_service_url(service_url, field="service_url")
    if name is not None and (not isinstance(name, str) or not name.strip()):
        message = f"name is {name!r}."
        raise ConfigurationError(message, field="name", hint="Give a text that is not empty, or leave it out.")
    if parameters is not None and not isinstance(parameters, Mapping):
        message = f"parameters is a {type(parameters).__name__}, not a mapping."
        raise ConfigurationError(message, field="parameters", hint="Give a dict of names and values.")
    if resource is not None:
        found = [_wrap(resource, service=service, service_url=service_url, name=name)]
    else:
        names = _names(service, default, known=services)
        if len(names) > 1 and (name is not None or service_url is not None):
            field = "name" if name is not None else "service_url"
            message = f"{field} cannot stand for {len(names)} services."
            raise ConfigurationError(message, field=field, hint="Connect them one by one.")
        available = services if cloud is services.cloud else Services(cloud)
        # One's own services belong to no cloud.
        found = [
            available[each] if isinstance(each, str) and each in available else services.find(each) for each in names
        ]
        if service_url is not None:
            found = [replace(found[0], url=service_url)]
    base_urls = [BaseURL(each, parameters or {}) for each in found]
    for base_url in base_urls:
        if parameters:
            base_url.base(None)  # what is given must fit; what is missing may come with each request
    return base_urls


def _wrap(resource: str, *, service: object, service_url: str | None, name: str | None) -> Service:
    if service is not None:
        message = "connect() got service and resource."
        raise ConfigurationError(message, field="resource", hint="Give one: resource is for what is no service.")
    if not isinstance(resource, str) or not resource.strip():
        message = f"resource is {resource!r}, which names nothing."
        raise ConfigurationError(message, field="resource", hint="Give an Application ID URI.")
    return Service(name=name or resource, url=service_url or "", audience=resource)


def _names(service: object, default: str, *, known: Services) -> list[str]:
    if service is None:
        return [default]
    if isinstance(service, str):
        return [service]
    if isinstance(service, list | tuple) and service:
        return [*service]
    message = "service is an empty list." if isinstance(service, list | tuple) else f"service is {service!r}."
    raise ConfigurationError(message, field="service", hint=f"Name one or more of {', '.join(known)}.")
