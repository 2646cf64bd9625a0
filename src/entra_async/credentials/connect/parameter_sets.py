"""
The parameter sets of ``connect``: those of the PowerShell command, in Python's spelling.

A set is identified by the keywords that only it has; without any, a user signs in with the browser, as there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from entra_async.credentials.browser import Browser
from entra_async.credentials.certificate import Certificate
from entra_async.credentials.client_secret import ClientSecret
from entra_async.credentials.connect.aliases import SESSION_OPTIONS, find_keyword
from entra_async.credentials.connect.keywords import ConnectOptions, Keywords
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
_SHOWN: Final = 4
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

    def show(self, given: Iterable[str] = ()) -> str:
        """Return how it is written, with the identifying keyword that was given."""
        words = [*self.required]
        if self.identifying and not set(self.identifying) & set(words):
            words.append(next((word for word in given if word in self.identifying), self.identifying[0]))
        return f"connect({', '.join(f'{word}={_value(word)}' for word in words)})"


def _value(word: str) -> str:
    return "True" if word in _SWITCHES else "…"


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


_SECRET: Final = next(each for each in _SETS if each.build is ClientSecret)
_KEYWORDS: Final = frozenset(word for parameters in _SETS for word in parameters.keywords)
_OPTIONS: Final = tuple(sorted({"service", *(ConnectOptions.__annotations__.keys() - Keywords.__annotations__.keys())}))
_PAGE: Final = "See docs/connect.md."
_ANY: Final = "Give a provider such as ClientSecret(…), or keywords such as {}."
_NO_SCOPES: Final = "Leave it out: an application gets the permissions that were granted to it."
_INSTEAD: Final = {("client_id", "Identity"): "identity_id", ("password", "AppCertificate"): "certificate_password"}


def _identify(given: Iterable[str]) -> _ParameterSet | None:
    words = set(given)
    return next((parameters for parameters in _SETS if words & set(parameters.identifying)), None)


def _best(given: Iterable[str], among: Iterable[_ParameterSet]) -> _ParameterSet:
    """Return the set with the most of the given keywords; of equals, that which lacks the fewest."""
    words = set(given)
    return max(among, key=lambda each: (len(words & set(each.keywords)), -len(set(each.required) - words)))


def _unknown(unknown: Sequence[str], given: Iterable[str], *, beside: object = None) -> ConfigurationError:
    """Return the error for keywords that ``connect`` does not have, beside a provider or in place of one."""
    first = unknown[0]
    message = f"connect() has no parameter {first!r}."
    if first in SESSION_OPTIONS:
        return ConfigurationError(message, field=first, hint=f"It is the Session's: Session({first}=…).")
    meant = {word: find_keyword(word, (*_KEYWORDS, *_OPTIONS, "provider")) for word in unknown}
    found = {word: name for word, name in meant.items() if name is not None}
    if beside is None:
        words = [name for word in given if (name := meant.get(word, word)) is not None]
        if _KEYWORDS.isdisjoint(words):
            example = _ANY.format(_SECRET.show())
        else:
            fitting = _identify(words) or _best(words, _SETS)
            example = f"{fitting.name} is {fitting.show(words)}."
    else:
        example = f"Beside a provider it takes {', '.join(_OPTIONS)}."
    if len(found) > 1:
        pairs = ", ".join(f"{name!r} for {word!r}" for word, name in [*found.items()][:_SHOWN])
        return ConfigurationError(message, field=first, hint=f"Did you mean {pairs}? {example} {_PAGE}")
    hint = f"Did you mean {found[first]!r}? {example} {_PAGE}" if first in found else f"{example} {_PAGE}"
    return ConfigurationError(message, field=first, hint=hint)


def _remedy(word: str, chosen: _ParameterSet, given: Iterable[str]) -> str:
    """Return what to do about a keyword of another set."""
    instead = _INSTEAD.get((word, chosen.name))
    if instead is not None:
        return f"Give it as {instead!r}."
    if word == "scopes":
        return _NO_SCOPES
    fitting = _best(given, [each for each in _SETS if word in each.keywords])
    return f"Leave it out, or use {fitting.name}: {fitting.show([word, *given])}."


def provider_from(keywords: Mapping[str, Any]) -> Provider:
    """
    Return the provider that the keywords describe. ``None``, and a switch that is ``False``, count as not given.

    Raises:
        ConfigurationError: If they fit no parameter set, or more than one; the hint shows the one that fits best.
    """
    given = {
        word: value
        for word, value in keywords.items()
        if value is not None and not (word in _SWITCHES and value is False)
    }
    unknown = [word for word in given if word not in _KEYWORDS]
    if unknown:
        raise _unknown(unknown, given)
    for word, value in given.items():
        if word in _SWITCHES and value is not True:
            message = f"{word!r} is a switch, not a {type(value).__name__}."
            raise ConfigurationError(message, field=word, hint="Give True, or leave it out.")
    if not given:
        message = "There is nothing to sign in with."
        raise ConfigurationError(message, field="provider", hint=f"{_ANY.format(_SECRET.show())} {_PAGE}")
    chosen = _identify(given) or _BROWSER
    for word in given:
        if word not in chosen.keywords:
            message = f"{word!r} does not go with {chosen.name}, which is {chosen.show(given)}."
            raise ConfigurationError(message, field=word, hint=f"{_remedy(word, chosen, given)} {_PAGE}")
    for word in chosen.required:
        if word not in given:
            message = f"{word!r} is missing for {chosen.name}."
            raise ConfigurationError(message, field=word, hint=f"Write {chosen.show(given)}. {_PAGE}")
    try:
        return chosen.build(**{chosen.keywords[word]: value for word, value in given.items() if word not in _SWITCHES})
    except ConfigurationError as error:
        # Name the field as the caller wrote it.
        names = {field_: word for word, field_ in chosen.keywords.items()}
        error.field = names.get(error.field or "", error.field)
        raise


def _extra(provider: object, extra: Sequence[str]) -> ConfigurationError:
    """Return the error for keywords beside a provider."""
    kind = type(provider).__name__
    for word in extra:
        meant = word if word in _KEYWORDS else find_keyword(word, (*_KEYWORDS, *_OPTIONS))
        if meant not in _KEYWORDS:
            return _unknown([word], (), beside=provider)
    word = extra[0]
    message = f"connect() got a provider and {word!r}."
    fields = getattr(provider, "__dataclass_fields__", ()) if isinstance(provider, Provider) else ()
    hint = "Give a provider, or keywords, not both."
    field_ = find_keyword(word, fields)
    if field_ is None and word == "scopes" and isinstance(provider, Provider):
        hint = _NO_SCOPES
    elif field_ is not None:
        hint = f"Give it to the provider, {kind}({field_}=…), or keywords alone. {_PAGE}"
    return ConfigurationError(message, field=word, hint=hint)


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
    extra = [word for word, value in keywords.items() if value is not None]
    if extra:
        raise _extra(provider, extra)
    if isinstance(provider, Provider) and not isinstance(provider, type):
        return provider
    return ExternalCredential(credential=provider)
