"""
From the keywords of ``connect`` to a provider: the parameter sets of the PowerShell command, in Python's spelling.

Each set is told by the keywords that only it has.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from entra_async.credentials.certificate import Certificate
from entra_async.credentials.client_secret import ClientSecret
from entra_async.credentials.provider import Provider
from entra_async.errors import ConfigurationError

__all__ = ("choose_provider", "provider_from")


@dataclass(frozen=True, slots=True)
class _ParameterSet:
    """
    One parameter set.

    Attributes:
        name: Its name in the PowerShell command.
        keywords: The keyword of ``connect`` to the field of the provider.
        required: Keywords that must be given.
        telling: Keywords of which at least one must be given: they tell the set.
        build: The provider.
    """

    name: str
    keywords: Mapping[str, str]
    required: tuple[str, ...]
    telling: tuple[str, ...]
    build: Callable[..., Provider]

    def __str__(self) -> str:
        telling = " or ".join(self.telling)
        optional = [word for word in self.keywords if word not in self.required and word not in self.telling]
        text = f"{self.name}({', '.join(self.required)}, {telling}"
        return text + (f", optional {', '.join(optional)})" if optional else ")")


_SETS: Final = (
    _ParameterSet(
        name="AppSecret",
        keywords={"client_id": "client_id", "tenant_id": "tenant_id", "client_secret": "client_secret"},
        required=("client_id", "tenant_id"),
        telling=("client_secret",),
        build=ClientSecret,
    ),
    _ParameterSet(
        name="AppCertificate",
        keywords={
            "client_id": "client_id",
            "tenant_id": "tenant_id",
            "certificate": "certificate",
            "private_key": "private_key",
            "certificate_path": "path",
            "certificate_data": "data",
            "certificate_password": "password",
            "send_x5c": "send_x5c",
        },
        required=("client_id", "tenant_id"),
        telling=("certificate", "certificate_path", "certificate_data"),
        build=Certificate,
    ),
)


def provider_from(keywords: Mapping[str, Any]) -> Provider:
    """
    Return the provider that the keywords describe. A keyword that is ``None`` counts as not given.

    Raises:
        ConfigurationError: If they fit no parameter set, or more than one; the message names the sets.
    """
    given = {word: value for word, value in keywords.items() if value is not None}
    known = {word for parameters in _SETS for word in parameters.keywords}
    sets = f"The parameter sets are {'; '.join(map(str, _SETS))}."
    for word in given:
        if word not in known:
            message = f"connect() has no parameter {word!r}."
            raise ConfigurationError(message, field=word, hint=sets)
    told = [parameters for parameters in _SETS if any(word in given for word in parameters.telling)]
    if not told:
        message = "There is nothing to sign in with." if not given else "What is given does not tell how to sign in."
        raise ConfigurationError(message, field="provider", hint=f"Give a provider, or keywords. {sets}")
    chosen = told[0]
    foreign = [word for word in given if word not in chosen.keywords]
    if foreign:
        message = f"{foreign[0]!r} does not go with {chosen.name}."
        raise ConfigurationError(message, field=foreign[0], hint=sets)
    for word in chosen.required:
        if word not in given:
            message = f"{word!r} is missing for {chosen.name}."
            raise ConfigurationError(message, field=word, hint=sets)
    try:
        return chosen.build(**{chosen.keywords[word]: value for word, value in given.items()})
    except ConfigurationError as error:
        # Name the field as the caller wrote it.
        names = {field: word for word, field in chosen.keywords.items()}
        error.field = names.get(error.field or "", error.field)
        raise


def choose_provider(provider: object, keywords: Mapping[str, Any]) -> Provider:
    """
    Return the provider that was given, or the one that the keywords describe.

    Raises:
        ConfigurationError: If both are given, neither is, or the provider is something else.
    """
    if provider is None:
        return provider_from(keywords)
    extra = next((word for word, value in keywords.items() if value is not None), None)
    if extra is not None:
        message = f"connect() got a provider and {extra!r}."
        raise ConfigurationError(message, field=extra, hint="Give a provider, or keywords, not both.")
    if not isinstance(provider, Provider) or isinstance(provider, type):
        message = f"connect() cannot sign in with {type(provider).__name__}."
        raise ConfigurationError(message, field="provider", hint="Give ClientSecret(…) or Certificate(…).")
    return provider
