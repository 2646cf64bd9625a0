"""
The parameter sets of ``connect``: those of the PowerShell command, in Python's spelling.

A set is identified by the keywords that only it has; without any, a user signs in with the browser, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from entra_async.credentials.browser import Browser
from entra_async.credentials.certificate import Certificate
from entra_async.credentials.client_secret import ClientSecret
from entra_async.credentials.custom_headers import CustomHeaders
from entra_async.credentials.developer_tools import AzureCli, AzureDeveloperCli, AzurePowerShell
from entra_async.credentials.device_code import DeviceCode
from entra_async.credentials.external import ExternalCredential
from entra_async.credentials.federated import Federated
from entra_async.credentials.key_vault import KeyVault
from entra_async.credentials.managed_identity import ManagedIdentity
from entra_async.credentials.on_behalf_of import OnBehalfOf
from entra_async.credentials.provider import Provider
from entra_async.credentials.refresh_token import RefreshToken
from entra_async.credentials.static_token import StaticToken
from entra_async.credentials.username_password import UsernamePassword
from entra_async.errors import ConfigurationError

__all__ = ("choose_provider", "provider_from")

_APP: Final = {"client_id": "client_id", "tenant_id": "tenant_id"}
_USER: Final = {**_APP, "scopes": "scopes"}
_SWITCHES: Final = frozenset(
    {"browser", "device_code", "identity", "federated", "az_account", "azure_developer_cli", "azure_powershell"}
)
_MODES: Final = {"auto": "auto", "printlink": "print_link", "print_link": "print_link"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _ParameterSet:
    """
    One parameter set.

    Attributes:
        name: Its name in the PowerShell command.
        build: Makes the provider.
        keywords: The keyword of ``connect`` to the field of the provider.
        required: Keywords that must be given.
        identifying: Keywords that identify the set: one of them must be given, unless it is the default set.
    """

    name: str
    build: Callable[..., Provider]
    keywords: Mapping[str, str]
    required: tuple[str, ...] = ("client_id", "tenant_id")
    identifying: tuple[str, ...] = field(default=())

    def __str__(self) -> str:
        words = [*self.required, " or ".join(self.identifying)] if self.identifying else [*self.required]
        known = {*self.required, *self.identifying}
        optional = [word for word in self.keywords if word not in known]
        return f"{self.name}({', '.join(words)}{'; ' if optional else ''}{', '.join(optional)})"


def _browser(*, browser_mode: str = "auto", **fields: Any) -> Provider:
    mode = _MODES.get(browser_mode.lower()) if isinstance(browser_mode, str) else None
    if mode is None:
        message = f"browser_mode is {browser_mode!r}."
        raise ConfigurationError(message, field="browser_mode", hint="Give 'Auto' or 'PrintLink'.")
    return Browser(mode=mode, **fields)  # type: ignore[arg-type]  # it is one of the two


_BROWSER: Final = _ParameterSet(
    name="Browser",
    build=_browser,
    keywords={
        **_USER,
        "browser": "",
        "browser_mode": "browser_mode",
        "redirect_uri": "redirect_uri",
        "login_hint": "login_hint",
        "prompt": "prompt",
        "port": "port",
        "opener": "opener",
        "use_refresh_token": "use_refresh_token",
    },
    required=("client_id",),
    identifying=("browser", "browser_mode", "redirect_uri", "login_hint", "opener", "port"),
)

_SETS: Final = (
    _ParameterSet(
        name="OnBehalfOf",
        build=OnBehalfOf,
        keywords={**_USER, "user_assertion": "user_assertion", "client_secret": "client_secret"},
        required=("client_id", "tenant_id", "user_assertion", "client_secret"),
        identifying=("user_assertion",),
    ),
    _ParameterSet(
        name="AppSecret",
        build=ClientSecret,
        keywords={**_APP, "client_secret": "client_secret"},
        identifying=("client_secret",),
    ),
    _ParameterSet(
        name="AppCertificate",
        build=Certificate,
        keywords={
            **_APP,
            "certificate": "certificate",
            "private_key": "private_key",
            "signer": "signer",
            "certificate_path": "path",
            "certificate_data": "data",
            "certificate_password": "password",
            "certificate_thumbprint": "thumbprint",
            "certificate_name": "name",
            "certificate_folder": "folder",
            "send_x5c": "send_x5c",
        },
        identifying=(
            "certificate",
            "certificate_path",
            "certificate_data",
            "certificate_thumbprint",
            "certificate_name",
            "certificate_folder",
        ),
    ),
    _ParameterSet(
        name="UsernamePassword",
        build=UsernamePassword,
        keywords={**_USER, "username": "username", "password": "password"},
        required=("client_id", "tenant_id", "username", "password"),
        identifying=("username", "password"),
    ),
    _ParameterSet(
        name="DeviceCode",
        build=DeviceCode,
        keywords={**_USER, "device_code": "", "prompt": "prompt", "use_refresh_token": "use_refresh_token"},
        identifying=("device_code",),
    ),
    _ParameterSet(
        name="Refresh",
        build=RefreshToken,
        keywords={**_USER, "refresh_token": "refresh_token"},
        identifying=("refresh_token",),
    ),
    _ParameterSet(
        name="KeyVault",
        build=KeyVault,
        keywords={**_APP, "vault_name": "vault_name", "secret_name": "secret_name"},
        required=("client_id", "tenant_id", "vault_name", "secret_name"),
        identifying=("vault_name", "secret_name"),
    ),
    _ParameterSet(
        name="Identity",
        build=ManagedIdentity,
        keywords={
            "identity": "",
            "identity_id": "identity_id",
            "identity_type": "identity_type",
            "fall_back_to_azure_cli": "fall_back_to_azure_cli",
        },
        required=(),
        identifying=("identity", "identity_id"),
    ),
    _ParameterSet(
        name="Federated",
        build=Federated,
        keywords={**_APP, "federated": "", "federation_provider": "provider", "assertion": "assertion"},
        identifying=("federated", "federation_provider", "assertion"),
    ),
    _ParameterSet(
        name="AzAccount",
        build=AzureCli,
        keywords={"az_account": "", "tenant_id": "tenant_id"},
        required=(),
        identifying=("az_account",),
    ),
    _ParameterSet(
        name="AzureDeveloperCli",
        build=AzureDeveloperCli,
        keywords={"azure_developer_cli": "", "tenant_id": "tenant_id"},
        required=(),
        identifying=("azure_developer_cli",),
    ),
    _ParameterSet(
        name="AzurePowerShell",
        build=AzurePowerShell,
        keywords={"azure_powershell": "", "tenant_id": "tenant_id"},
        required=(),
        identifying=("azure_powershell",),
    ),
    _ParameterSet(
        name="StaticToken",
        build=StaticToken,
        keywords={"token": "token"},
        required=(),
        identifying=("token",),
    ),
    _ParameterSet(
        name="CustomHeaders",
        build=CustomHeaders,
        keywords={"headers": "headers"},
        required=(),
        identifying=("headers",),
    ),
    _BROWSER,
)


def provider_from(keywords: Mapping[str, Any]) -> Provider:
    """
    Return the provider that the keywords describe. ``None``, and a switch that is ``False``, count as not given.

    Raises:
        ConfigurationError: If they fit no parameter set, or more than one; the message names the sets.
    """
    given = {
        word: value
        for word, value in keywords.items()
        if value is not None and not (word in _SWITCHES and value is False)
    }
    sets = f"The parameter sets are {'; '.join(map(str, _SETS))}."
    known = {word for parameters in _SETS for word in parameters.keywords}
    for word, value in given.items():
        if word not in known:
            message = f"connect() has no parameter {word!r}."
            raise ConfigurationError(message, field=word, hint=sets)
        if word in _SWITCHES and value is not True:
            message = f"{word!r} is a switch, not a {type(value).__name__}."
            raise ConfigurationError(message, field=word, hint="Give True, or leave it out.")
    if not given:
        message = "There is nothing to sign in with."
        raise ConfigurationError(message, field="provider", hint=f"Give a provider, or keywords. {sets}")
    identified = (parameters for parameters in _SETS if any(word in given for word in parameters.identifying))
    chosen = next(identified, _BROWSER)
    unknown = [word for word in given if word not in chosen.keywords]
    if unknown:
        message = f"{unknown[0]!r} does not go with {chosen.name}."
        raise ConfigurationError(message, field=unknown[0], hint=sets)
    for word in chosen.required:
        if word not in given:
            message = f"{word!r} is missing for {chosen.name}."
            raise ConfigurationError(message, field=word, hint=sets)
    try:
        return chosen.build(**{chosen.keywords[word]: value for word, value in given.items() if word not in _SWITCHES})
    except ConfigurationError as error:
        # Name the field as the caller wrote it.
        names = {field_: word for word, field_ in chosen.keywords.items()}
        error.field = names.get(error.field or "", error.field)
        raise


def choose_provider(provider: object, keywords: Mapping[str, Any]) -> Provider:
    """
    Return the provider that was given, or the one that the keywords describe.

    A credential of another library, or a callable, becomes an
    :class:`~entra_async.credentials.external.ExternalCredential`.

    Raises:
        ConfigurationError: If both are given, neither is, or the provider is something else.
    """
    if provider is None:
        return provider_from(keywords)
    extra = next((word for word, value in keywords.items() if value is not None), None)
    if extra is not None:
        message = f"connect() got a provider and {extra!r}."
        raise ConfigurationError(message, field=extra, hint="Give a provider, or keywords, not both.")
    if isinstance(provider, Provider) and not isinstance(provider, type):
        return provider
    return ExternalCredential(credential=provider)
