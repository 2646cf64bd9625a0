"""The keywords of ``connect`` in place of a provider, with their types."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate as X509Certificate

    from entra_async.clouds import Cloud

__all__ = ("ConnectOptions", "Keywords")


class Keywords(TypedDict, total=False):
    """Keywords in place of a provider; :mod:`entra_async.credentials.connect.parameter_sets` says which go together."""

    client_id: str | None
    tenant_id: str | None
    scopes: Sequence[str] | None
    client_secret: str | None
    certificate: X509Certificate | str | bytes | None
    private_key: RSAPrivateKey | None
    signer: Callable[[bytes], Any] | None
    certificate_path: str | os.PathLike[str] | None
    certificate_data: bytes | None
    certificate_password: str | bytes | None
    certificate_thumbprint: str | None
    certificate_name: str | None
    certificate_folder: str | os.PathLike[str] | None
    send_x5c: bool | None
    username: str | None
    password: str | None
    browser: bool | None
    browser_mode: str | None
    redirect_uri: str | None
    login_hint: str | None
    device_code: bool | None
    use_refresh_token: bool | None
    refresh_token: str | None
    vault_name: str | None
    secret_name: str | tuple[str, ...] | None
    identity: bool | None
    identity_id: str | None
    identity_type: str | None
    fall_back_to_azure_cli: bool | None
    federated: bool | None
    federation_provider: str | None
    assertion: Any
    az_account: bool | None
    azure_developer_cli: bool | None
    azure_powershell: bool | None
    prompt: Any
    port: int | None
    opener: Callable[[str], object] | None
    user_assertion: str | None
    token: str | None
    headers: Callable[[], Any] | None


class ConnectOptions(Keywords, total=False):
    """The options of ``connect`` beside the provider and the service."""

    service_url: str | None
    resource: str | None
    parameters: Mapping[str, str] | None
    name: str | None
    make_default: bool
    cloud: str | Cloud | None
    authority: str | None
